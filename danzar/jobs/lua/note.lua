-- Fields about a job by the machine that holds it. 0: it does not hold it any more.
local job, events = KEYS[1], KEYS[2]
local token = ARGV[1]

if redis.call('HGET', job, 'token') ~= token then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
redis.call('XADD', events, 'MAXLEN', '~', 4096, '*', 'c', '1')
return 1
