-- While this row is held, no projector moves `jobs`.
select position from checkpoints where name = 'jobs' for update
