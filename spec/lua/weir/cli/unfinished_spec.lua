-- Runs that are cut short: by a signal, by a kill, by a second process; and how one goes on with them.
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local SLOW = [[
local weir = require "weir"
return weir.pipeline "slow" {
  weir.step "first" { agent = "echo", input = { n = 1 } },
  weir.step "nap" { sleep = 30 },
  weir.step "last" { agent = "echo", input = { n = 2 } },
}
]]
local SHORT = SLOW:gsub("30", "0.3"):gsub('"slow"', '"short"')
describe("an unfinished run", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
    support.write(folder, "pipelines/slow.lua", SLOW)
    support.write(folder, "pipelines/short.lua", SHORT)
  end)
  after_each(function() support.remove(folder) end)

  -- Runs `body` with a host that executes a pipeline and has finished its first step.
  local function during(name, body)
    local ok, err = task.within({ timeout = 30 }, function()
      local child = support.start { "run", ("%s/pipelines/%s.lua"):format(folder, name), "--store", store }
      assert(support.read_until(child.stderr, "✓ first"))
      body(child)
      child:close()
    end)
    assert(ok, ok or err.message)
  end

  local function killed(name)
    during(name, function(child)
      child:kill "sigkill"
      assert.equal(137, child:wait(5).status)
    end)
  end

  local function rows(...)
    return support.lines((select(2, support.run { "runs", "--store", store, "--json", ... })))
  end

  it("is cancelled cleanly by Ctrl-C, which says so, with status 130", function()
    during("slow", function(child)
      child:kill "sigint"
      local said = support.read_until(child.stderr, "weir trace last")
      assert.matches("Ctrl%-C: cancelling run r_%w+; once more ends the process at once", said)
      assert.matches("◼ nap", said)
      assert.matches("◼ r_%w+ cancelled in ", said)
      assert.equal(130, child:wait(5).status)
    end)
    assert.same({ "cancelled", "cancelled" }, { rows()[1].status, rows()[1].error.code })
    local _, out = support.run { "show", "last", "--store", store }
    assert.matches("◼ nap .*cancelled", out)
    assert.matches("interrupted by Ctrl%-C", out)
  end)

  it("is named with its owner to a second process, with status 8", function()
    during("slow", function(child)
      for _, arguments in ipairs { { "runs" }, { "cancel", "last" }, { "resume" }, { "run", "hello" } } do
        arguments[#arguments + 1] = "--store"
        arguments[#arguments + 1] = store
        local result = support.host(arguments)
        assert.equal(8, result.status, arguments[1])
        assert.matches(("in use by weir, process %d "):format(child.pid), result.stderr)
      end
      local refusal = support.lines(support.host({ "runs", "--json", "--store", store }).stdout)[1].error
      assert.equal("conflict", refusal.code)
    end)
  end)

  it("is gone on with after a kill, without doing again what it finished", function()
    killed "short"
    assert.equal("running", rows()[1].status)
    assert.matches("it has not ended: `weir resume`", (select(2, support.run { "show", "last", "--store", store })))
    local status, out, err = support.run { "resume", "--store", store }
    assert.equal(0, status)
    assert.same({ n = 2 }, require("weir.native.json").decode(out))
    assert.not_matches("✓ first", err)
    assert.matches("✓ last", err)
    assert.equal("finished", rows()[1].status)
    assert.same({ 0, "", "no run is unfinished\n" }, { support.run { "resume", "--store", store } })
    assert.same({ 0, "", "" }, { support.run { "resume", "--store", store, "--json" } })
    local again, _, why = support.run { "resume", "last", "--store", store }
    assert.equal(8, again)
    assert.matches("has finished already", why)
  end)

  it("gives a line of JSON for each run that is gone on with", function()
    killed "short"
    killed "short"
    local status, out = support.run { "resume", "--store", store, "--json", "-q" }
    assert.equal(0, status)
    local lines = support.lines(out)
    assert.equal(2, #lines)
    assert.not_equal(lines[1].run, lines[2].run)
    assert.same({ "finished", "finished" }, { lines[1].status, lines[2].status })
  end)

  it("is stopped by SIGTERM within seconds, with all that it had under way, and goes on later", function()
    during("slow", function(child)
      local from = require("luv").hrtime()
      child:kill "sigterm"
      assert.equal(130, child:wait(5).status)
      assert.is_true((require("luv").hrtime() - from) / 1e9 < 5)
    end)
    assert.equal("running", rows()[1].status)
    local kept <close> = assert(require("weir.port.store").open(store, {}))
    local entries = assert(kept:load(assert(kept:runs { limit = 1 })[1].id))
    assert.equal("stop", entries[#entries][1])
    assert.matches("SIGTERM", entries[#entries][3])
  end)

  it("is cancelled where nobody executes it, and stays so", function()
    killed "slow"
    local status, out = support.run { "cancel", "last", "--reason", "wrong folder", "--store", store, "--json" }
    assert.equal(0, status)
    local line = support.lines(out)[1]
    assert.same({ "cancelled", "wrong folder" }, { line.status, line.error.message })
    assert.same({ "cancelled" }, { rows()[1].status })
    assert.equal(0, #rows("--status", "running"))
    assert.matches("wrong folder", (select(2, support.run { "show", "last", "--store", store })))
    local again, _, err = support.run { "cancel", "last", "--store", store }
    assert.equal(8, again)
    assert.matches("has cancelled already", err)
    assert.equal(6, (support.run { "cancel", "r_zzz", "--store", store }))
    assert.equal("no run is unfinished\n", (select(3, support.run { "resume", "--store", store })))
  end)
end)
