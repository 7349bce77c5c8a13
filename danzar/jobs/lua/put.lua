-- A job that nobody knows begins to wait. Returns its place (1 is next), or 0 where it is known.
local job, waiting, models = KEYS[1], KEYS[2], KEYS[3]
local id, record, model, score, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local home_channel, wake_channel = ARGV[6], ARGV[7]

if redis.call('EXISTS', job) == 1 then return 0 end
local now = redis.call('TIME')
redis.call('HSET', job, 'record', record, 'model', model, 'score', score, 'attempt', attempt,
    'home', home_channel, 'state', 'queued', 'since', now[1])
redis.call('ZADD', waiting, score, id)
redis.call('SADD', models, model)
redis.call('PUBLISH', wake_channel, model)
return redis.call('ZRANK', waiting, id) + 1
