-- Moves entries whose type their worker does not know to `parked:<type>`.
-- KEYS     the hash of moved entries, the set of parked streams
-- ARGV     group; MessagePack list of {stream, id, job id, version, type, attempt}
-- Answers  how many were moved
--
-- Who finds the entry moves it: however often and by whoever this is called, it is moved once. Added before it is deleted, since
-- a script that fails half-way keeps what it has done. The streams are not declared in KEYS, which only a cluster would ask for.
-- Its job is looked at: in a queue made again, an id may be another entry's.
local group, moved = ARGV[1], 0
for _, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
    local stream, id, job, version, type, attempt = unpack(entry)
    local there = redis.call('XRANGE', stream, id, id)[1]
    local is_it = there and there[2][2] == job
    if is_it then
        local parked = 'parked:' .. type
        redis.pcall('XGROUP', 'CREATE', parked, group, '0', 'MKSTREAM')
        local new_id = redis.call('XADD', parked, '*', 'job', job, 'version', version, 'type', type, 'attempt', attempt)
        redis.call('HSET', KEYS[1], job .. '/' .. version, parked .. ' ' .. new_id)
        redis.call('SADD', KEYS[2], parked)
        redis.call('XDEL', stream, id)
        moved = moved + 1
    end
    if is_it or not there then redis.pcall('XACK', stream, group, id) end
end
return moved
