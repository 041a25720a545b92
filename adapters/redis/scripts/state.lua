-- The state of the queue: what is noted of it in the hash, beside what the streams say themselves. Stands before other scripts.
-- KEYS[1] is the hash, KEYS[2] and KEYS[3] are the streams in the order of their priority.
--
-- A list of texts, so that it can be compared and handed back: log id, position, job id, version, then for each stream the last id
-- noted, the last id that it gave out, "1" if it has the group; and when the event at the position was recorded. "" stands for what is
-- not there. A hash that is incomplete or of another's making counts as not there; a time belongs to the position that it names, since
-- a release that knows no times moves the position alone.
local GROUP = ARGV[1]
local FORMS = {'^[%x-]+$', '^%d+$', '^[%x-]*$', '^%d+$', '^%d+%-%d+$', '^%d+%-%d+$'}

local function stream_state(stream)
    local info = redis.pcall('XINFO', 'STREAM', stream)
    if info.err then return '', '' end
    local last = ''
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then last = info[i + 1] end
    end
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        for i = 1, #group, 2 do
            if group[i] == 'name' and group[i + 1] == GROUP then return last, '1' end
        end
    end
    return last, ''
end

local function is_number(text) -- as we write them: exact in a double, no leading zeros
    return #text <= 15 and string.format('%d', tonumber(text)) == text
end

local function state()
    local noted = redis.pcall('HMGET', KEYS[1], 'log', 'position', 'job', 'version', KEYS[2], KEYS[3])
    local is_sound = not noted.err
    for i = 1, is_sound and 6 or 0 do is_sound = is_sound and noted[i] and string.match(noted[i], FORMS[i]) end
    is_sound = is_sound and is_number(noted[2]) and is_number(noted[4])
    if not is_sound then noted = {'', '0', '', '0', '', ''} end
    local last_1, group_1 = stream_state(KEYS[2])
    local last_2, group_2 = stream_state(KEYS[3])
    local of, recorded = string.match(is_sound and redis.call('HGET', KEYS[1], 'recorded') or '', '^(%d+) (%d+)$')
    if of ~= noted[2] then recorded = '' end
    return {noted[1], noted[2], noted[3], noted[4], noted[5], last_1, group_1, noted[6], last_2, group_2, recorded}
end

local function is_same(one, other)
    for i = 1, 11 do
        if one[i] ~= other[i] then return false end
    end
    return true
end
