-- News of a job that runs: facts (fields and values), then parts for who follows it.
-- Facts count only from the machine that holds the job.
local job, events = KEYS[1], KEYS[2]
local token, kept_s, keep, facts = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local FIRST = 5
local TOLD = {'state', 'attempt', 'started_at', 'node', 'device', 'degraded', 'progress'}

if facts > 0 and redis.call('HGET', job, 'token') == token then
    redis.call('HSET', job, unpack(ARGV, FIRST, FIRST + facts - 1))
    local entry = {'c', '1'}
    for i, value in ipairs(redis.call('HMGET', job, unpack(TOLD))) do
        if value then
            entry[#entry + 1] = TOLD[i]
            entry[#entry + 1] = value
        end
    end
    redis.call('XADD', events, 'MAXLEN', '~', 4096, '*', unpack(entry))
end
for i = FIRST + facts, #ARGV do
    redis.call('XADD', events, 'MAXLEN', keep, '*', 'p', ARGV[i])
end
redis.call('EXPIRE', events, kept_s)
