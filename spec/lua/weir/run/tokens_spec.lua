-- Many tokens of a model to a step that is slow. WEIR_TOKENS says how many; the ordinary run takes fewer.

local channel = require "weir.channel"
local engine_of = require "weir.run.engine"
local native = require "weir.native.scheduler"
local paths = require "weir.paths"
local process = require "weir.port.process"
local project = require "weir.project"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local TOKENS = tonumber(os.getenv "WEIR_TOKENS" or 10000)
local SLOW, PAUSE = 100, 0.001             -- tokens between two pauses of the slow step, seconds
local FIXED, PER_TOKEN = 16 << 20, 64      -- bytes that may be taken; each token is kept, being part of the answer
local EVENTS = 1024                        -- tokens that differ, as spec/bench/model.c has them
local PATIENCE = 60                        -- seconds for the server to say something
local TRIES = 9
local AT_ONCE = TOKENS >= 1000000 and 0.1 or 1 -- seconds until the server sees the end; the figure is for a free machine

local function serve()
  local child = assert(process.start({ paths.natives .. "/bench_model", "serve" }, { pipe = true }))
  local self, rest = { child = child }, ""
  function self.said(wanted)
    while true do
      local line, after = rest:match "^([^\n]*)\n(.*)$"
      if line then rest = after else rest = rest .. assert(child.stdout:recv(PATIENCE)) end
      if line and line:find(wanted) then return line end
    end
  end
  self.port = self.said "^%d+$"
  return self
end

describe("tokens of a fast model to a slow step", function()
  local server, here, engine

  before_each(function()
    server, here = serve(), project.open "."
    engine = engine_of.new(here, nil)
    here.registry:put { kind = "agent", name = "asks", api = 1, execute = function(ctx) ctx:chat { prompt = "go", emit = true } end }
  end)

  after_each(function()
    engine:close()
    server.child.stdin:close()
    server.child:wait(PATIENCE)
  end)

  local function begin(tokens, reads)
    here.settings.models = { fast = { use = "compatible", options = { url = ("http://127.0.0.1:%s/%d/64/0/v1"):format(server.port, tokens) } } }
    here.registry:put { kind = "agent", name = "reads", api = 1, execute = function(ctx)
      reads(ctx)
      return true
    end }
    return engine:prepare(assert(here:check(weir.pipeline "tokens" { durability = "none", weir.group "both" {
      weir.step "ask" { agent = "asks", model = "fast", stream = true }, weir.step "read" { agent = "reads", from = "ask" } } })), {})
  end

  it("come all and in order, and take no more memory than they are long", function()
    local count, wrong, most = 0, 0, 0
    collectgarbage()
    local before = native.stats().memory_bytes
    local run = begin(TOKENS, function(ctx)
      for item in ctx:items() do
        if item ~= (" w%03x"):format(count % EVENTS) then wrong = wrong + 1 end
        count = count + 1
        if count % SLOW == 0 then
          most = math.max(most, native.stats().memory_bytes)
          ctx:sleep(PAUSE)
        end
      end
    end)
    run:execute()
    assert.equal("finished", run.status)
    assert.same({ TOKENS, 0 }, { count, wrong })
    assert.is_true(most - before <= FIXED + PER_TOKEN * TOKENS, ("%d bytes"):format(most - before))
  end)

  it("end at once where the run is cancelled, as the server sees it", function()
    local took = {}
    for try = 1, TRIES do
      local first = channel.new(1)
      local run = begin(0, function(ctx)
        for _ in ctx:items() do
          first:close()
          ctx:sleep(PAUSE)
        end
      end)
      local ended = task.spawn(function() run:execute() end)
      first:recv()
      local from = uv.hrtime() / 1e9
      run:cancel "enough"
      took[try] = tonumber(server.said("^end"):match "%S+$") - from
      ended:join()
      assert.equal("cancelled", run.status)
    end
    table.sort(took)
    assert.is_true(took[TRIES // 2 + 1] < AT_ONCE, ("%.3f s"):format(took[TRIES // 2 + 1]))
  end)
end)
