--- Consumers side by side against a model of what they did: each item is finished once, those of a key in order, and
--- nothing is lost, whoever forgets what he was handed and however long he takes.

local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local place = require "weir.queue.place"
local port = require "weir.port.store"
local queue = require "weir.queue"
local system = require "weir.port.system"
local task = require "weir.task"

local CONSUMERS, ITEMS, KEYS, LEASE = 8, 400, 6, 5

-- Numbers of the model's own, so that a failure can be had again by its seed.
local function generator(seed)
  local state = seed * 2654435761 % 2^32 // 1 | 0
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
    return (state >> 33) % n + 1
  end
end

local function produce(queues, model, random)
  for number = 1, ITEMS do
    local key = random(3) > 1 and "key" .. random(KEYS) or nil
    local dedupe = "delivery" .. number
    local q = queues[random(#queues)]
    local id, is_new = q:enqueue({ number = number, key = key }, { key = key, dedupe = dedupe })
    assert.is_true(is_new)
    model.put[id] = number
    if random(4) == 1 then assert.same({ id, false }, { queues[random(#queues)]:enqueue("again", { dedupe = dedupe }) }) end
    if random(10) == 1 then clock.sleep(random(3)) end
  end
  model.is_complete = true
end

-- What is finished: once each, and of a key never one before another that was put in earlier.
local function finished(model, item)
  local number, key = item.value.number, item.value.key
  assert.is_nil(model.finished[number])
  model.finished[number], model.count = true, model.count + 1
  if key then
    assert.is_true(number > (model.latest[key] or 0), ("%s: %d after %d"):format(key, number, model.latest[key] or 0))
    model.latest[key] = number
  end
end

-- One thing that happens to what was handed out.
local function work(q, model, random, item)
  local what = random(10)
  if what == 1 then
    model.dropped = model.dropped + 1 -- as by a crash: nothing is said of it any more
  elseif what == 2 then
    clock.sleep(LEASE + random(4)) -- too late, unless nobody took it meanwhile
  elseif what == 3 then
    clock.sleep(LEASE - 1)
    if q:extend(item) then clock.sleep(LEASE - 1) end
  elseif what == 4 then
    q:release(item, clock.wall_ms() + random(3000))
    return
  elseif random(2) == 1 then
    clock.sleep(random(1000) / 1000)
  end
  if what == 1 then return end
  -- The end is noted in the transaction that ends it: nothing else can tell a late holder from the one who counts.
  local ok, message, code, at = q:finish(item, { { op = "cas", space = "done", key = item.id, version = 0, value = true },
    { op = "add", space = "sums", key = "all", by = item.value.number } })
  if ok then return finished(model, item) end
  assert.same({ "conflict" }, { code, at }, message)
  model.late = model.late + 1
end

local function consume(q, model, random)
  while model.count < ITEMS do
    local item = q:claim { timeout = 2 }
    if item then work(q, model, random, item) end
  end
end

local function run_model(stores, seed)
  local random, queues = generator(seed), {}
  for index, store in ipairs(stores) do queues[index] = queue.open(store, "q", { lease_s = LEASE, attempts = 1000 }) end
  local model = { put = {}, finished = {}, latest = {}, count = 0, dropped = 0, late = 0 }
  local ok, err = task.within({}, function()
    task.spawn(produce, queues, model, random)
    for index = 1, CONSUMERS do task.spawn(consume, queues[index % #queues + 1], model, random) end
  end)
  if not ok then error(err, 0) end
  assert.equal(ITEMS, model.count)
  assert.is_true(model.dropped > 5 and model.late > 0, ("dropped %d, late %d"):format(model.dropped, model.late))
  assert.equal(ITEMS * (ITEMS + 1) // 2, (stores[1]:get("sums", "all")))
  assert.equal(0, queues[1]:depth())
  for _, space in ipairs { "items", "ready", "blocked", "leases", "expiries", "locks", "dead" } do
    assert.same({}, stores[1]:scan(place.spaces[space]), space)
  end
end

local function virtual(body)
  local was_virtual = native.is_virtual()
  if not was_virtual then native.use_virtual_clock(1) end
  local ok, err = pcall(body)
  if not was_virtual then native.use_real_clock() end
  if not ok then error(err, 0) end
end

describe("a queue with many consumers", function()
  for seed = 1, 6 do
    it(("finishes each item once, in order for each key, and loses none (seed %d)"):format(seed), function()
      virtual(function()
        local store <close> = assert(port.open ":memory:")
        run_model({ store }, seed)
      end)
    end)
  end

  it("does so too when two of one process have opened the store", function()
    virtual(function()
      local folder = system.temporary_folder "weir-queue"
      local first <close> = assert(port.open(folder))
      local second <close> = assert(port.open(folder))
      run_model({ first, second }, 7)
      require("weir.port.process").run({ "rm", "-rf", "--", folder }, {})
    end)
  end)
end)
