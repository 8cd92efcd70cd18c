local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local STORY = [[
local weir = require "weir"
return weir.pipeline "story" {
  input = { name = "string = Ada" },
  weir.group "both" {
    weir.step "fast" { agent = "echo", input = { text = "${input.name}" } },
    weir.step "shaky" { agent = "shaky", retry = { attempts = 3, backoff = 0.02, jitter = 0 }, optional = true },
    weir.step "never" { agent = "echo", when = "$.input.name == 'Bob'" },
  },
  weir.map "all" { over = weir.list { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 }, tolerate = 1,
    weir.step "item_step" { agent = "picky", input = { n = "$.item" } } },
  weir.step "last_one" { agent = "echo", input = { done = true }, critic = { use = "rubric", options = { min_words = 1, field = "text" },
    attempts = 1, otherwise = "accept_best" } },
}
]]
local HALTED = [[
local weir = require "weir"
return weir.pipeline "halted" {
  weir.group "race" { join = "any",
    weir.step "slow" { agent = "stuck", input = { both = true } },
    weir.step "quick" { agent = "nap" } },
  weir.step "late" { agent = "stuck", timeout = 0.02, retry = { attempts = 2, backoff = 0 }, optional = true },
}
]]
local AGENTS = {
  nap = 'function M.execute(ctx) ctx:sleep(0.03) return 1 end',
  stuck = [[local task = require "weir.task"
    function M.execute(ctx, input)
      if input.both then
        ctx:metric("tokens", 7)
        task.spawn(function() ctx:sleep(100) end)
      end
      ctx:process { "sleep", "100" }
    end]],
  shaky = 'function M.execute() error "not today" end',
  picky = 'function M.execute(_, input) if input.n == 3 then error "not three" end return input end',
}

describe("the record of a run", function()
  local folder, store, id
  setup(function()
    folder = support.folder()
    store = folder .. "/store"
    local path = support.write(folder, "pipelines/story.lua", STORY)
    for name, body in pairs(AGENTS) do
      support.write(folder, ("modules/agents/%s.lua"):format(name),
        ('local M = { kind = "agent", name = "%s", api = 1 }\n%s\nreturn M\n'):format(name, body))
    end
    support.run { "run", "hello", "--store", store, "-q" }
    support.run { "run", path, "--store", store, "-q" }
    support.run { "run", path, "--store", store, "-q", "--set", "name=Eve" }
    id = support.lines((select(2, support.run { "runs", "--store", store, "--json", "--limit", "1" })))[1].run
  end)
  teardown(function() support.remove(folder) end)

  local function on_store(...)
    local arguments = { ... }
    arguments[#arguments + 1] = "--store"
    arguments[#arguments + 1] = store
    return support.run(arguments)
  end

  it("has the end of a run that ended between the reading of its entries and of its row", function()
    local entries = { { "run", { pipeline = "p", at = 1, input = {} } } }
    local reads = 0
    local fake = { get = function() end, load = function()
      reads = reads + 1
      local list = json.list { entries[1] }
      if reads > 1 then list[2] = { "end", "finished", { n = 7 }, 5 } end
      return list, { status = "finished", ended_ms = 5 }
    end }
    local record = require("weir.view.record").load(fake, "r_x")
    assert.same({ "finished", { n = 7 }, 5, 2 }, { record.status, record.output, record.ended_ms, reads })
  end)

  describe("as weir show has it", function()
    it("is a tree of groups, steps and items", function()
      local status, out, err = on_store("show", "last")
      assert.equal(0, status)
      assert.equal("", err)
      assert.matches("^✓ " .. id .. "  story  finished in ", out)
      assert.matches('input  {"name":"Eve"}', out)
      assert.matches("├─ ✗ both ", out)
      assert.matches("│  ├─ ✓ fast .*echo", out)
      assert.matches("✗ shaky .*3 attempts  failed", out)
      assert.matches("attempt 2 failed after .*not today %(failed%); waited 40 ms", out)
      assert.matches("shaky.lua:2: in .*execute", out)
      assert.matches("– never .*skipped", out)
      assert.matches("all .*14 items", out)
      assert.matches("✗ %[2%] item_step .*picky  failed", out)
      assert.matches("13 more items not shown; %-%-all shows them", out)
      assert.matches("critic[ %w]*: retry, score 0.00: give 'text'", out)
    end)

    it("shows every item when asked", function()
      local _, out = on_store("show", "last", "--all")
      assert.matches("✓ %[0%] item_step", out)
      assert.matches("✓ %[13%] item_step", out)
      assert.is_true(out:find("[9] item_step", 1, true) < out:find("[10] item_step", 1, true))
    end)

    it("is one object for programs", function()
      local _, out = on_store("show", "last", "--json")
      local line = support.lines(out)[1]
      assert.same({ id, "story", "finished", json.null }, { line.run, line.pipeline, line.status, line.parent })
      assert.same({ name = "Eve" }, line.input)
      assert.same({ text = "Eve" }, line.data.fast)
      assert.is_nil(line.data.item_step)
      assert.equal(14, #line.data.all)
      assert.equal(json.null, line.data.all[3])
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", line.started_at)
      local by_key = {}
      for _, step in ipairs(line.steps) do by_key[step.key] = step end
      assert.same({ "fast", "both", "echo", "finished", 1, 1 }, { by_key["both/fast"].step, by_key["both/fast"].group, by_key["both/fast"].agent,
        by_key["both/fast"].status, by_key["both/fast"].visit, by_key["both/fast"].attempt })
      assert.equal(64, #by_key["both/fast"].version)
      assert.same({ "failed", 3, "failed" }, { by_key["both/shaky"].status, by_key["both/shaky"].attempt, by_key["both/shaky"].error.code })
      assert.equal("skipped", by_key["both/never"].status)
      assert.equal("failed", by_key["all[2]/item_step"].status)
      assert.same({ "retry", 0 }, { by_key.last_one.verdict.verdict, by_key.last_one.verdict.score })
    end)

    it("says what was stopped with a step, and what it had used", function()
      local path = support.write(folder, "pipelines/halted.lua", HALTED)
      local aside = folder .. "/halted"
      assert.equal(0, (support.run { "run", path, "--store", aside, "-q" }))
      local _, out = support.run { "show", "last", "--store", aside }
      assert.matches("slow .*cancelled\n[^\n]*stopped 1 sleep, 1 process\n", out)
      assert.matches("attempt 1 failed [^\n]*timeout[^\n]*\n[^\n]*stopped 1 process\n", out)
      local _, text = support.run { "show", "last", "--store", aside, "--json" }
      local by_key = {}
      for _, step in ipairs(support.lines(text)[1].steps) do by_key[step.key] = step end
      assert.same({ { what = "sleep", count = 1 }, { what = "process", name = "sleep", count = 1 } }, by_key["race/slow"].stopped)
      assert.same({ { what = "process", name = "sleep", count = 1 } }, by_key.late.stopped)
      assert.same({ tokens = 7 }, by_key["race/slow"].usage)
      assert.same({}, by_key["race/quick"].stopped)
    end)

    it("shows bytes that are no UTF-8, in values and in names, to people and to programs", function()
      support.write(folder, "modules/agents/raw.lua", [[
local M = { kind = "agent", name = "raw", api = 1 }
function M.execute() return { list = { "a\255" }, ["\254"] = 1 } end
return M
]])
      local path = support.write(folder, "pipelines/raw.lua",
        'local weir = require "weir"\nreturn weir.pipeline "raw" { weir.step "raw" { agent = "raw" } }\n')
      local aside = folder .. "/raw"
      local ran, line = support.run { "run", path, "--store", aside, "-q", "--json" }
      assert.same({ 0, { { base64 = "Yf8=" } } }, { ran, support.lines(line)[1].output.list })
      local status, out = support.run { "show", "last", "--store", aside }
      assert.equal(0, status)
      assert.is_truthy(out:find('"base64": "Yf8="', 1, true))
      local _, text = support.run { "show", "last", "--store", aside, "--json" }
      assert.same({ list = { { base64 = "Yf8=" } }, ["\\xfe"] = 1 }, support.lines(text)[1].output)
    end)

    it("is found by the beginning of its id, and told apart from others", function()
      assert.matches(id, (select(2, on_store("show", id:sub(1, 20)))))
      local status, _, err = on_store("show", "r_")
      assert.equal(2, status)
      assert.matches("fits more than one run", err)
      assert.equal(6, (on_store("show", "r_zzzz")))
      assert.equal(6, (on_store("show", "r_" .. ("z"):rep(20))))
      assert.equal(2, (on_store("show", "nonsense!")))
    end)

    it("needs a store, and makes none by looking", function()
      local status, _, err = support.run { "show", "last", "--store", folder .. "/no-store" }
      assert.equal(6, status)
      assert.matches("there is no store", err)
      assert.is_nil(require("luv").fs_stat(folder .. "/no-store"))
    end)
  end)

  describe("as weir trace has it", function()
    local function rows(...)
      local status, out = on_store("trace", "last", ...)
      assert.equal(0, status)
      return out
    end

    it("has a row per step, as wide as asked", function()
      for _, width in ipairs { "60", "100", "180" } do
        local out = rows("--width", width)
        for line in out:gmatch "[^\n]+" do assert.is_true(utf8.len(line) <= tonumber(width) + 12, line) end
        assert.matches("both", out)
        assert.matches("    fast", out)
        assert.matches("shaky .*×.*3 attempts", out)
      end
    end)

    it("does without Unicode where the locale has none", function()
      local _, out = support.run({ "trace", "last", "--store", store }, { LANG = "C", LC_ALL = "", LC_CTYPE = "" })
      assert.not_matches("[\128-\255]", out)
      assert.matches("last_one .*#", out)
    end)

    it("gives programs the times of every attempt", function()
      local line = support.lines(rows "--json")[1]
      local shaky
      for _, row in ipairs(line.rows) do
        if row.key == "both/shaky" then shaky = row end
      end
      assert.equal(2, #shaky.attempts)
      assert.same({ 1, "failed", 0.02 }, { shaky.attempts[1].attempt, shaky.attempts[1].error.code, shaky.attempts[1].delay })
      assert.is_true(shaky.seconds >= 0.05)
    end)

    it("refuses a width nobody can read", function()
      assert.equal(2, (on_store("trace", "last", "--width", "3")))
    end)
  end)

  describe("as weir runs has it", function()
    it("is a line, the newest first", function()
      local status, out = on_store "runs"
      assert.equal(0, status)
      assert.matches("^RUN  .*STATUS", out)
      assert.equal(3, select(2, out:gsub("\nr_", "")))
      assert.is_true(out:find("story", 1, true) < out:find("hello", 1, true))
    end)

    it("is chosen by pipeline, status, age and number", function()
      local function count(...) return #support.lines((select(2, on_store("runs", "--json", ...)))) end
      assert.equal(3, count())
      assert.equal(2, count("--pipeline", "story"))
      assert.equal(1, count("--pipeline", "story", "--limit", "1"))
      assert.equal(0, count("--status", "failed"))
      assert.equal(3, count("--status", "finished"))
      assert.equal(3, count("--since", "1h"))
      assert.equal(0, count("--since", "2999-01-01"))
      assert.equal(2, (on_store("runs", "--since", "yesterday")))
    end)

    it("has the shape that programs expect", function()
      local line = support.lines((select(2, on_store("runs", "--json", "--limit", "1"))))[1]
      assert.same({ id, "story", "finished", json.null }, { line.run, line.pipeline, line.status, line.error })
      assert.is_nil(line.output)
      assert.is_true(line.ended_at >= line.started_at)
    end)
  end)

  describe("as weir graph has it", function()
    it("colours the steps by what became of them", function()
      local status, out = on_store("graph", "last")
      assert.equal(0, status)
      assert.matches("class n%d+,n%d+ failed\n", out)
      assert.matches("class n%d+ skipped", out)
      assert.matches("class [n%d,]+ finished\n", out)
    end)
  end)
end)
