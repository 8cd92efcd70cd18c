-- Random pipelines of groups, bodies and maps with waits and work: answers and signals come in random order, the run
-- is parked whenever it may be, processes end at random writes. What comes out is what comes out when nobody waits.

local support = dofile "spec/lua/weir/run/support.lua"
local clock = require "weir.port.clock"
local random_of = require "weir.run.run"
local recovery = require "weir.run.recovery"
local waking = require "weir.run.waking"
local weir = require "weir"

local ROUNDS = math.tointeger(os.getenv "WEIR_ROUNDS") or 40

local agents = {
  value = function(_, given) return given.value end,
  slow = function(ctx, given) ctx:sleep(given.seconds) return given.value end,
  flaky = function(ctx, given) if ctx.attempt < 2 then error "again" end return given.value end,
}

-- Draws from a seed; a run's own generator does it.
local function new_draw(seed)
  local source = setmetatable({ id = "seed" .. seed }, { __index = random_of.Run })
  return function(n) return source:draw(n) end
end

local Maker = {}
Maker.__index = Maker

function Maker:name(prefix)
  self.count = self.count + 1
  return prefix .. self.count
end

local LEAVES = {
  function(self) return weir.step(self:name "v") { agent = "value", input = { value = self.count } } end,
  function(self) return weir.step(self:name "s") { agent = "slow", input = { value = self.count, seconds = self.draw(20) } } end,
  function(self) return weir.step(self:name "f") { agent = "flaky", input = { value = self.count }, retry = { attempts = 2, backoff = self.draw(5000), max = 5000 } } end,
  function(self) return weir.step(self:name "nap") { sleep = self.draw(10000) } end,
  function(self) return weir.approval(self:name "ask") { form = { type = "object" } } end,
  function(self)
    local name = self:name "w"
    self.signals[#self.signals + 1] = name
    return weir.wait(name) { signal = name }
  end,
}

function Maker:list(make, most, depth)
  local list = {}
  for index = 1, self.draw(most) do list[index] = make(self, depth) end
  return list
end

local function leaf(self) return LEAVES[self.draw(#LEAVES)](self) end

local step

local function group(self, depth)
  local steps = self:list(step, 3, depth)
  return weir.group(self:name "g")(steps)
end

local function map(self)
  local list = weir.list {}
  for index = 1, self.draw(4) do list[index] = index end
  local fields = { over = list, concurrency = self.draw(3) }
  fields[1] = self.draw(2) == 1 and weir.approval(self:name "item_ask") { form = { type = "object" }, show = "$.item" }
    or weir.step(self:name "item_slow") { agent = "slow", input = { seconds = "$.item", value = "$.item" } }
  return weir.map(self:name "m")(fields)
end

function step(self, depth)
  local kind = depth > 0 and self.draw(6) or 6
  if kind == 1 then return map(self) end
  if kind == 2 then return weir.step(self:name "body")(self:list(group, 2, depth - 1)) end
  return leaf(self)
end

local function pipeline(draw)
  local maker = setmetatable({ count = 0, draw = draw, signals = {} }, Maker)
  local groups = maker:list(group, 4, 2)
  return weir.pipeline "random"(groups), maker.signals
end

-- What a person answers depends on nothing but the place.
local function answer_of(record) return { decision = "approve", by = "ada", answer = { to = record.step, shown = record.show } } end

-- Without what hangs on the time that passed.
local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, inner in pairs(value) do
    if name ~= "at" and name ~= "due_at" then copy[name] = plain(inner) end
  end
  return copy
end

local function outcome(world, id)
  local ending = world:ending(id)
  return ending.status .. " " .. support.text(plain(ending.value))
end

-- Nobody waits: answers are there at once, and signals before they are waited for.
local function at_once(seed)
  local world = support.world(agents, { patience = 1e9, near = 1e9 })
  world.engine.decide = answer_of
  local definition, signals = pipeline(new_draw(seed))
  local engine = world.engine
  local run = engine:prepare(world:define(definition), {})
  for _, name in ipairs(signals) do waking.signal(engine, run.id, name, "payload of " .. name) end
  run:execute()
  local result = outcome(world, run.id)
  world:close()
  return result
end

local ACTS = {
  function(world, id, draw)
    local questions = world:questions(id)
    if #questions == 0 then return end
    local record = questions[draw(#questions)]
    world:decide(record.id, answer_of(record))
  end,
  function(world, id, draw, signals)
    if #signals == 0 then return end
    local name = table.remove(signals, draw(#signals))
    waking.signal(world.engine, id, name, "payload of " .. name)
  end,
  function(world)
    local due = waking.next_due(world.engine)
    if due then clock.sleep(math.max(0, (due - clock.wall_ms()) / 1000)) end
  end,
}

local function in_pieces(seed)
  local draw = new_draw(seed)
  local world = support.world(agents, { near = seed % 2 == 1 and 0 or 60 })
  local definition, signals = pipeline(draw)
  local run = world:begin(definition)
  for _ = 1, 2000 do
    local status = world:row(run.id).status
    if status == "finished" or status == "failed" then break end
    world:life(draw(3) == 1 and draw(6) or nil)
    world:go_on()
    world:life()
    if world:row(run.id).status == "quarantined" then -- three times without progress: somebody says, try once more
      recovery.open(world.engine, run.id, { anyway = true }):execute()
    end
    ACTS[draw(#ACTS)](world, run.id, draw, signals)
  end
  assert.is_number(world:row(run.id).ended_ms, ("seed %d: it stands still: %s"):format(seed, support.text(world:row(run.id))))
  local result, left = outcome(world, run.id), world:left()
  world:close()
  return result, left
end

describe("random runs that wait", function()
  it(("come out as if nobody had waited, in %d rounds"):format(ROUNDS), function()
    for seed = 1, ROUNDS do
      local whole = at_once(seed)
      local result, left = in_pieces(seed)
      assert.equal(whole, result, "seed " .. seed)
      for _, what in ipairs(left) do assert.matches("^signals/", what, "seed " .. seed) end
    end
  end)
end)
