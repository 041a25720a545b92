-- Deletes the consumers of workers that are gone, but none that owns a pending entry: deleting it would lose the entry.
-- KEYS     the streams of the relay, the set of parked streams
-- ARGV     group; MessagePack list of the ids of live workers
-- Answers  how many were deleted
local alive, deleted = {}, 0
for _, id in ipairs(cmsgpack.unpack(ARGV[2])) do alive[id] = true end
local streams = {KEYS[1], KEYS[2], unpack(redis.call('SMEMBERS', KEYS[3]))}
for _, stream in ipairs(streams) do
    local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, ARGV[1])
    for _, fields in ipairs(consumers.err and {} or consumers) do
        local consumer = {}
        for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
        if consumer.pending == 0 and not alive[consumer.name] then
            redis.call('XGROUP', 'DELCONSUMER', stream, ARGV[1], consumer.name)
            deleted = deleted + 1
        end
    end
end
return deleted
