-- The next job of a model begins to run here: {id, record, attempt, now}; nil where none waits.
-- Jobs whose delay is over, and those whose machine has gone silent, wait again first.
local waiting, delayed, leases = KEYS[1], KEYS[2], KEYS[3]
local prefix, node, token, lease_s = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local events_prefix, kept_s = ARGV[5], ARGV[6]
local AT_ONCE = 100

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function wait_again(id)
    local job = prefix .. id
    local score = redis.call('HGET', job, 'score')
    if score then
        redis.call('HSET', job, 'state', 'queued')
        redis.call('HDEL', job, 'token')
        redis.call('ZADD', waiting, score, id)
    end
end

for _, set in ipairs({delayed, leases}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, AT_ONCE)) do
        redis.call('ZREM', set, id)
        wait_again(id)
    end
end

while true do
    local first = redis.call('ZPOPMIN', waiting)
    if #first == 0 then return nil end
    local id = first[1]
    local job = prefix .. id
    if redis.call('HGET', job, 'state') == 'queued' then
        local attempt = redis.call('HINCRBY', job, 'attempt', 1)
        redis.call('HSET', job, 'state', 'running', 'node', node, 'token', token,
            'started_at', tostring(now))
        redis.call('HDEL', job, 'device', 'degraded', 'progress', 'error')
        redis.call('ZADD', leases, now + lease_s, id)
        redis.call('XADD', events_prefix .. id, 'MAXLEN', '~', 4096, '*', 'c', '1',
            'state', 'running', 'attempt', attempt, 'started_at', tostring(now), 'node', node)
        redis.call('EXPIRE', events_prefix .. id, kept_s)
        local home_channel = redis.call('HGET', job, 'home')
        if home_channel then
            redis.call('PUBLISH', home_channel, '+' .. id .. ':' .. attempt)
        end
        return {id, redis.call('HGET', job, 'record'), attempt, tostring(now)}
    end
end
