-- While this row is held, no projector adds to `stats`.
select position from checkpoints where name = 'stats' for update
