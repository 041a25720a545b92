-- Reads what nobody has read yet, stream after stream, so that none is touched while one before it has entries left.
-- KEYS     the hash of the relay, the streams in their order
-- ARGV     group, consumer, how many entries at most
-- Answers  MessagePack {when the queue was made; 1 if a stream of the relay or its group is missing, else 0; {entry, …}; {{stream, id} of a malformed
--          entry, …}; 1 if Redis has no memory left for more entries, else 0}; an entry is {stream, id, job id, version, type, attempt}
--
-- XREADGROUP without BLOCK is an ordinary write in a script (Redis 5 and later). One packed text is answered, not lists of
-- lists: that halves the time here and in the client.
-- To read takes no memory, so a Redis that is full would look like an empty queue: it is asked for none at all, as if by XADD.
local asked = redis.pcall('SETRANGE', 'jobledger:nothing', 0, '') -- writes nothing, and makes no key
local full = type(asked) == 'table' and string.find(asked.err, 'OOM', 1, true) and 1 or 0

local group, consumer, left = ARGV[1], ARGV[2], tonumber(ARGV[3])
local missing, entries, malformed = 0, {}, {}
for i = 2, #KEYS do
    if left <= 0 then break end
    local stream = KEYS[i]
    local got = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', left, 'STREAMS', stream, '>')
    if got and got.err then
        if not string.find(got.err, 'NOGROUP', 1, true) then return got end
        if string.sub(stream, 1, 7) == 'parked:' then
            -- Made here, by whoever reads it, so that it can be blocked on before anything is parked.
            redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
        else
            missing = 1
        end
    elseif got then
        local found = got[1][2]
        left = left - #found
        for _, entry in ipairs(found) do
            local f = entry[2]
            local version, attempt = tonumber(f[4]), tonumber(f[8])
            if version and attempt and #f == 8
                and f[1] == 'job' and f[3] == 'version' and f[5] == 'type' and f[7] == 'attempt'
            then
                entries[#entries + 1] = {stream, entry[1], f[2], version, f[6], attempt}
            else
                malformed[#malformed + 1] = {stream, entry[1]}
            end
        end
    end
end
local made = redis.pcall('HGET', KEYS[1], 'made')
return cmsgpack.pack({type(made) == 'string' and made or '', missing, entries, malformed, full})
