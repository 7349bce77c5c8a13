-- The job ends, unless it has ended. Returns 1 to the one that ended it.
-- The last news of its run go with it: facts (fields and values), then parts for who follows it.
local job, waiting, delayed, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ended, events, pace = KEYS[5], KEYS[6], KEYS[7]
local id, record, model, token, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local error, output, shared_s = ARGV[6], ARGV[7], ARGV[8]
local home_channel, stop_channel = ARGV[9], ARGV[10]
local keep, facts = ARGV[11], tonumber(ARGV[12])
local FIRST = 13
local NEWEST_SHARE = 0.2

local before = redis.call('HGET', job, 'state')
if before == 'completed' or before == 'failed' or before == 'cancelled' then return 0 end

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local holder = redis.call('HGET', job, 'token')
if facts > 0 and holder == token then
    redis.call('HSET', job, unpack(ARGV, FIRST, FIRST + facts - 1))
end
redis.call('HSET', job, 'record', record, 'model', model, 'state', state, 'ended_at', tostring(now))
redis.call('HDEL', job, 'token')
if error ~= '' then redis.call('HSET', job, 'error', error) end
if output ~= '' then redis.call('HSET', job, 'output', output) end
if state == 'completed' then redis.call('HSET', job, 'progress', '1') end
redis.call('ZREM', waiting, id)
redis.call('ZREM', delayed, id)
redis.call('ZREM', leases, id)

local started_at = redis.call('HGET', job, 'started_at')
if state == 'completed' and started_at then
    local took_s = now - tonumber(started_at)
    local mean_s = tonumber(redis.call('GET', pace) or took_s)
    redis.call('SET', pace, tostring(mean_s + (took_s - mean_s) * NEWEST_SHARE))
end

redis.call('ZADD', ended, now, id)
redis.call('EXPIRE', job, shared_s)
for i = FIRST + facts, #ARGV do
    redis.call('XADD', events, 'MAXLEN', keep, '*', 'p', ARGV[i])
end
redis.call('XADD', events, 'MAXLEN', '~', 4096, '*', 'c', 'over')
redis.call('EXPIRE', events, shared_s)
redis.call('PUBLISH', home_channel, id)
if before == 'running' and holder ~= token then redis.call('PUBLISH', stop_channel, id) end
return 1
