-- Moves entries whose type their worker does not know to `parked:<type>`.
-- KEYS     the hash of moved entries, the set of parked streams
-- ARGV     group; MessagePack list of {stream, id, job id, version, type, attempt}
-- Answers  how many were moved
--
-- Who finds the entry moves it: however often and by whoever this is called, it is moved once. Added before it is deleted, since
-- a script that fails half-way keeps what it has done. The streams are not declared in KEYS, which only a cluster would ask for.
local group, moved = ARGV[1], 0
for _, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
    local stream, id, job, version, type, attempt = unpack(entry)
    if #redis.call('XRANGE', stream, id, id) == 1 then
        local parked = 'parked:' .. type
        redis.pcall('XGROUP', 'CREATE', parked, group, '0', 'MKSTREAM')
        local new_id = redis.call('XADD', parked, '*', 'job', job, 'version', version, 'type', type, 'attempt', attempt)
        redis.call('HSET', KEYS[1], job .. '/' .. version, parked .. ' ' .. new_id)
        redis.call('SADD', KEYS[2], parked)
        redis.call('XDEL', stream, id)
        moved = moved + 1
    end
    redis.pcall('XACK', stream, group, id)
end
return moved
