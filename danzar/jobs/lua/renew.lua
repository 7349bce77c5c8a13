-- The machine that holds the job is alive. 1: it still holds it; 0: it does not.
-- A job that the server forgot, or that its home put here again meanwhile, is held on to.
local job, waiting, delayed, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, token, lease_s, record, model = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local score, attempt, node, started_at = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local home_channel = ARGV[10]

local state = redis.call('HGET', job, 'state')
local forgotten = not state or (state == 'queued' and not redis.call('HGET', job, 'token'))
if not forgotten and (state ~= 'running' or redis.call('HGET', job, 'token') ~= token) then
    return 0
end
local time = redis.call('TIME')
if forgotten then
    redis.call('HSET', job, 'record', record, 'model', model, 'score', score, 'state', 'running',
        'attempt', attempt, 'node', node, 'token', token, 'started_at', started_at,
        'home', home_channel)
    redis.call('ZREM', waiting, id)
    redis.call('ZREM', delayed, id)
end
redis.call('ZADD', leases, tonumber(time[1]) + lease_s, id)
return 1
