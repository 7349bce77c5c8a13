-- Fields of a job, after its place among those that wait (0 is first).
local job, id, waiting = KEYS[1], ARGV[1], ARGV[2]

local found = redis.call('HMGET', job, 'state', 'model', unpack(ARGV, 3))
local place = false
if found[1] == 'queued' and found[2] then place = redis.call('ZRANK', waiting .. found[2], id) end
return {place, unpack(found, 3)}
