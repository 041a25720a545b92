-- Adds entries and moves the mark, if the queue is as the dispatcher believes; the two share their fate, so a crash repeats nothing.
-- KEYS and ARGV[1] as in state.lua, which stands before this
-- ARGV[2]  MessagePack of the state believed
-- ARGV[3]  MessagePack of the new mark: {position, job id, version, when it was recorded or ""}, as texts
-- ARGV[4]  MessagePack of the entries in order: {{stream, id, job id, version, type, attempt}, …}
-- Answers  false if it is done; else the state that was found, and nothing is written
local found = state()
if not is_same(found, cmsgpack.unpack(ARGV[2])) then return found end
local mark = cmsgpack.unpack(ARGV[3])
local last = {}
-- The streams come first: should one XADD fail, the mark stays, and the next call finds a stream ahead of what is noted.
for _, e in ipairs(cmsgpack.unpack(ARGV[4])) do
    redis.call('XADD', e[1], e[2], 'job', e[3], 'version', e[4], 'type', e[5], 'attempt', e[6])
    last[e[1]] = e[2]
end
if mark[1] ~= found[2] or mark[2] ~= found[3] or mark[3] ~= found[4] or mark[4] ~= found[11] then
    redis.call('HSET', KEYS[1], 'position', mark[1], 'job', mark[2], 'version', mark[3], 'recorded', mark[1] .. ' ' .. mark[4])
end
for stream, id in pairs(last) do redis.call('HSET', KEYS[1], stream, id) end
return false
