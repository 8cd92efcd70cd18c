local process = require "weir.port.process"
local system = require "weir.port.system"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

describe("crashes drawn by a spec", function()
  local pipeline = P "lossy" {
    S "first" { agent = "count" },
    G "both" { S "a" { agent = "count" }, S "b" { agent = "count", retry = { attempts = 3, backoff = 1 } }, weir.approval "ok" { title = "Go?" } },
    S "rest" { sleep = "2h" },
    weir.map "items" { over = { 1, 2, 3 }, S "row" { agent = "count" } },
    output = { "$.first.n", "$.items", "$.ok.decision" },
  }

  it("change no outcome, and no recorded step is done again", function()
    local lives = 0
    for seed = 1, 60 do
      local executed = 0
      local run = testing.run(pipeline, { seed = seed, crashes = 4, decisions = { ok = { decision = "approve" } }, agents = {
        count = function(ctx)
          executed = executed + 1
          ctx:sleep(1)
          return { n = 7 }
        end,
      } })
      assert.same({ "finished", 7, "approve" }, { run.status, run.output[1], run.output[3] }, "seed " .. seed)
      assert.equal(3, #run.output[2])
      local finished = {}
      for _, event in ipairs(run.events) do
        if event.kind == "step" then
          assert.is_nil(finished[event.step], event.step)
          finished[event.step] = event.status == "finished" or nil
        end
      end
      if executed > 6 then lives = lives + 1 end
    end
    assert.is_true(lives > 10, lives .. " runs of 60 were hit inside a step")
  end)

  it("are the same for the same seed", function()
    local function trace(seed)
      local run = testing.run(pipeline, { seed = seed, crashes = 3, decisions = { ok = { decision = "approve" } },
        agents = { count = function(ctx) ctx:sleep(1) return { n = ctx.attempt } end } })
      local lines = {}
      for index, event in ipairs(run.events) do lines[index] = ("%s %s %s"):format(event.kind, event.step or "", event.status or "") end
      return table.concat(lines, "\n")
    end
    for seed = 1, 10 do assert.equal(trace(seed), trace(seed)) end
  end)
end)

describe("weir test --seeds", function()
  it("runs specs under each seed and tells the command that repeats a failure", function()
    local folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    local file = assert(io.open(folder .. "/order_spec.lua", "w"))
    file:write [[
      local testing, weir = require "weir.testing", require "weir"
      it("is a", function()
        local first
        local function note(name) return function(ctx) ctx:sleep(1) first = first or name return true end end
        testing.run(weir.pipeline "race" { weir.group "g" { weir.step "a" { agent = "a" }, weir.step "b" { agent = "b" } } },
          { agents = { a = note "a", b = note "b" } })
        assert.equal("a", first)
      end)
    ]]
    file:close()
    local result = assert(process.run({ system.program(), "test", "--seeds", "16", folder .. "/order_spec.lua" }, { cwd = folder }))
    process.run { "rm", "-rf", "--", folder }
    assert.equal(1, result.status)
    assert.matches("seed %d: weir test %-%-seed %d .*order_spec.lua", result.stdout)
    assert.matches("%d passed, %d failed: under each of 16 seeds", result.stdout)
  end)
end)
