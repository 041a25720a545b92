-- Finds queued jobs whose entry is nowhere, and adds them again if asked.
-- KEYS     as in state.lua, which stands before this; then the hash of moved entries
-- ARGV     group; the log's id; "add" or "find"; MessagePack of the entries {{stream, id, job id, version, type, attempt}, …}
-- Answers  the places (from 1) of those that are missing; none while the queue is not whole, which is the relay's to mend
--
-- An entry is under its own id in its own stream, pending or not, or where the hash says that it was moved to. Its own id lies
-- behind the stream's last one, so an entry added again gets the next id after the last: `<last position>-<n>`. The last id noted
-- becomes that; the next event's id has a higher position, so it still comes after.
local found = state()
local is_whole = found[1] == ARGV[2] and found[7] == '1' and found[10] == '1'
    and found[5] == found[6] and found[8] == found[9]
if not is_whole then return {} end

local function holds(stream, id, job)
    local entries = redis.pcall('XRANGE', stream, id, id)
    return not entries.err and #entries == 1 and entries[1][2][2] == job
end

local last = {[KEYS[2]] = found[6], [KEYS[3]] = found[9]}
local relayed = tonumber(found[2])
local missing = {}
for place, e in ipairs(cmsgpack.unpack(ARGV[4])) do
    local stream, id, job, version = e[1], e[2], e[3], e[4]
    local is_relayed = tonumber(string.match(id, '^%d+')) <= relayed
    if is_relayed and not holds(stream, id, job) then
        local field = job .. '/' .. version
        local moved_to, moved_id = string.match(redis.call('HGET', KEYS[4], field) or '', '^(.*) (%S+)$')
        if not (moved_to and holds(moved_to, moved_id, job)) then
            missing[#missing + 1] = place
            if ARGV[3] == 'add' then
                local position, n = string.match(last[stream], '^(%d+)-(%d+)$')
                local new_id = position .. '-' .. string.format('%d', tonumber(n) + 1)
                redis.call('XADD', stream, new_id, 'job', job, 'version', version, 'type', e[5], 'attempt', e[6])
                redis.call('HSET', KEYS[4], field, stream .. ' ' .. new_id)
                redis.call('HSET', KEYS[1], stream, new_id)
                last[stream] = new_id
            end
        end
    end
end
return missing
