-- Reads what nobody has read yet, stream after stream, so that none is touched while one before it has entries left.
-- KEYS     the streams in their order
-- ARGV     group, consumer, how many entries at most, ">" or "0"
-- Answers  {1 if a stream of the relay or its group is missing, else 0; {stream, entries}; …}
--
-- XREADGROUP without BLOCK is an ordinary write in a script (Redis 5 and later). With "0" it answers this consumer's own
-- pending entries; one whose entry was deleted comes with nil for its fields.
local group, consumer, left, from = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local answer = {0}
for _, stream in ipairs(KEYS) do
    if left <= 0 then break end
    local got = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', left, 'STREAMS', stream, from)
    if got and got.err then
        if not string.find(got.err, 'NOGROUP', 1, true) then return got end
        if string.sub(stream, 1, 7) == 'parked:' then
            -- Made here, by whoever reads it, so that it can be blocked on before anything is parked.
            redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
        else
            answer[1] = 1
        end
    elseif got then
        answer[#answer + 1] = got[1]
        left = left - #got[1][2]
    end
end
return answer
