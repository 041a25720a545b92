-- For the rest of this transaction.
select set_config('lock_timeout', %(timeout)s, true)
