-- Takes entries out of the queue for good.
-- KEYS     the hash of the relay, the hash of moved entries
-- ARGV     group; when the queue was made that the entries of the first list came from; MessagePack of two lists of entries
--          {stream, id, job id, version}; MessagePack {field of the hash of moved entries, …}
--
-- XDEL too, since the length of a stream is the depth of the queue. Once the queue was made again, from another past of the log, an
-- id may be another entry's: so only entries that surely came from the queue as it is now are taken by their ids alone. An entry that
-- has no job id in the list (it was malformed) is then left to be found again.
local group, slice = ARGV[1], 1000 -- Lua puts no more than about 8,000 values on its stack
local lists = cmsgpack.unpack(ARGV[3])
local sure, unsure = lists[1], lists[2]
if redis.call('HGET', KEYS[1], 'made') ~= ARGV[2] then
    for _, entry in ipairs(sure) do unsure[#unsure + 1] = entry end
    sure = {}
end

local by_stream = {}
local function take(stream, id)
    local ids = by_stream[stream]
    if not ids then
        ids = {}
        by_stream[stream] = ids
    end
    ids[#ids + 1] = id
end

for _, entry in ipairs(sure) do take(entry[1], entry[2]) end
for _, entry in ipairs(unsure) do
    local there = redis.pcall('XRANGE', entry[1], entry[2], entry[2])
    local fields = not there.err and there[1] and there[1][2]
    if not fields or (fields[2] == entry[3] and fields[4] == tostring(entry[4])) then take(entry[1], entry[2]) end
end
for stream, ids in pairs(by_stream) do
    for first = 1, #ids, slice do
        local last = math.min(first + slice - 1, #ids)
        redis.pcall('XACK', stream, group, unpack(ids, first, last))
        redis.pcall('XDEL', stream, unpack(ids, first, last))
    end
end
for _, field in ipairs(cmsgpack.unpack(ARGV[4])) do redis.call('HDEL', KEYS[2], field) end
return 1
