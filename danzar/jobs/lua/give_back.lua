-- The machine that holds the job lets go of it: it waits again, at once or after a delay.
local job, waiting, delayed, leases, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, token, delay_s, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

if redis.call('HGET', job, 'state') ~= 'running' or redis.call('HGET', job, 'token') ~= token then
    return 0
end
redis.call('HSET', job, 'state', 'queued')
redis.call('HDEL', job, 'token', 'node', 'device', 'degraded', 'progress')
redis.call('ZREM', leases, id)
if counts == '0' then redis.call('HINCRBY', job, 'attempt', -1) end
if delay_s > 0 then
    local time = redis.call('TIME')
    redis.call('ZADD', delayed, tonumber(time[1]) + tonumber(time[2]) / 1000000 + delay_s, id)
else
    redis.call('ZADD', waiting, redis.call('HGET', job, 'score'), id)
end
redis.call('XADD', events, 'MAXLEN', '~', 4096, '*', 'c', '1')
return 1
