-- Reads what nobody has read yet, stream after stream, so that none is touched while one before it has entries left.
-- KEYS     the streams in their order
-- ARGV     group, consumer, how many entries at most
-- Answers  MessagePack {1 if a stream of the relay or its group is missing, else 0; {entry, …}; {{stream, id} of a malformed
--          entry, …}}; an entry is {stream, id, job id, version, type, attempt}
--
-- XREADGROUP without BLOCK is an ordinary write in a script (Redis 5 and later). One packed text is answered, not lists of
-- lists: that halves the time here and in the client.
local group, consumer, left = ARGV[1], ARGV[2], tonumber(ARGV[3])
local missing, entries, malformed = 0, {}, {}
for _, stream in ipairs(KEYS) do
    if left <= 0 then break end
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
return cmsgpack.pack({missing, entries, malformed})
