-- Makes the queue anew, empty and at position 0, if it still is as it was found: of two dispatchers one does it.
-- KEYS     as in state.lua, which stands before this; then the hash of moved entries, the set of parked streams
-- ARGV     group; MessagePack of the state found; the log's id
-- Answers  the state that is there now
--
-- The groups begin at 0: entries come before workers read. Parked entries go as well, since all is relayed again.
if not is_same(state(), cmsgpack.unpack(ARGV[2])) then return state() end
local parked = redis.pcall('SMEMBERS', KEYS[5])
for _, stream in ipairs(parked.err and {} or parked) do redis.call('DEL', stream) end
redis.call('DEL', unpack(KEYS))
for i = 2, 3 do redis.call('XGROUP', 'CREATE', KEYS[i], GROUP, '0', 'MKSTREAM') end
-- When it was made: workers know by it whether what they read is of this queue.
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'made', now[1] .. '.' .. now[2], 'log', ARGV[3], 'position', '0', 'job', '', 'version', '0', KEYS[2], '0-0', KEYS[3], '0-0')
return state()
