-- Takes entries out of the queue for good.
-- KEYS     the hash of moved entries
-- ARGV     group; MessagePack {{stream, id, id, …}, …}; MessagePack {field of the hash, …}
--
-- XDEL too, since the length of a stream is the depth of the queue. Slices: Lua puts no more than about 8,000 values on its stack.
local slice = 1000
for _, ids in ipairs(cmsgpack.unpack(ARGV[2])) do
    for first = 2, #ids, slice do
        local last = math.min(first + slice - 1, #ids)
        redis.pcall('XACK', ids[1], ARGV[1], unpack(ids, first, last))
        redis.call('XDEL', ids[1], unpack(ids, first, last))
    end
end
for _, field in ipairs(cmsgpack.unpack(ARGV[3])) do redis.call('HDEL', KEYS[1], field) end
return 1
