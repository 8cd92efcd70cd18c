-- Time travel on the command line: show --at, retry, fork, diff, export, import.
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local CHAIN = [[
local weir = require "weir"
return weir.pipeline "chain" {
  input = { name = "string = x", words = "integer = 3" },
  weir.step "one" { agent = "echo", input = { text = "hello ${input.name}" } },
  weir.map "all" { over = weir.list { 1, 2, 3 }, weir.step "each" { agent = "echo", input = { n = "$.item", text = "$.one.text" } } },
  weir.step "two" { agent = "picky", input = { text = "${one.text}!" } },
  weir.step "three" { agent = "echo", input = { text = "${two.text} end" } },
  output = "$.three.text",
}
]]
local PICKY = [[
local M = { kind = "agent", name = "picky", api = 1 }
function M.execute(_, input)
  if input.text:find "x" then error "no x please" end
  return input
end
return M
]]
local WAITS = [[
local weir = require "weir"
return weir.pipeline "waits" {
  weir.step "one" { agent = "echo", input = { n = 1 } },
  weir.approval "release" { title = "Publish?" },
}
]]

describe("time travel", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
    support.write(folder, "pipelines/chain.lua", CHAIN)
    support.write(folder, "pipelines/waits.lua", WAITS)
    support.write(folder, "modules/agents/picky.lua", PICKY)
  end)
  after_each(function() support.remove(folder) end)

  local function weir(...)
    local arguments = { ... }
    arguments[#arguments + 1] = "--store"
    arguments[#arguments + 1] = store
    return support.run(arguments)
  end

  local function json_of(...)
    local arguments = { ... }
    arguments[#arguments + 1] = "--json"
    local status, out = weir(table.unpack(arguments))
    return support.lines(out), status
  end

  -- A run that has failed in step `two`: its id.
  local function failed_run(...)
    local lines, status = json_of("run", folder .. "/pipelines/chain.lua", "-q", ...)
    assert.equal(1, status)
    return lines[1].run
  end

  local function runs()
    return json_of "runs"
  end

  describe("weir show --at", function()
    it("shows what was known right after a step, and what came later", function()
      local id = failed_run()
      local status, out = weir("show", id, "--at", "one")
      assert.equal(0, status)
      assert.matches("^" .. id .. "  chain  right after one %(entry 2, ", out)
      assert.matches('"text": "hello x"', out)
      assert.matches("later\n    ✓ all\n    ✓ all%[0%]/each\n.*✗ two\n", out)
      assert.not_matches("three", out)
      local line = json_of("show", id, "--at", "all[1]/each")[1]
      assert.same({ id, "all[1]/each", "finished", 2, 1 }, { line.run, line.step, line.status, line.data.item, line.data.index })
      assert.same({ name = "x", words = 3 }, line.data.input)
      assert.equal(line.entry, json_of("show", id, "--at", tostring(line.entry))[1].entry)
    end)

    it("names the nearest to a step that never ran, with status 6", function()
      local id = failed_run()
      local status, _, err = weir("show", id, "--at", "thre")
      assert.equal(6, status)
      assert.matches("step 'thre' has not run in run " .. id, err)
      assert.matches("did you mean 'two'", (select(3, weir("show", id, "--at", "tow"))))
      assert.equal("not_found", json_of("show", id, "--at", "nothing")[1].error.code)
      status, _, err = weir("show", id, "--at", "each")
      assert.equal(2, status)
      assert.matches("'each' is the name of 3 steps", err)
    end)
  end)

  describe("weir retry", function()
    it("says what is done again first, then what is kept, and runs only the rest", function()
      local id = failed_run()
      local _, _, said = weir("retry", id, "--dry-run")
      assert.matches("^done again, with all effects:\n  ✗ two  picky  failed\nkept:\n  ✓ one  echo\n", said)
      assert.matches("all%[%*%]/each  echo  3 items", said)
      assert.equal(1, #runs())
      local plan = json_of("retry", id, "--dry-run")[1]
      assert.same({ id, "chain", 1, 5 }, { plan.run, plan.pipeline, #plan.repeated, #plan.kept })
      assert.same({ key = "two", agent = "picky", status = "failed", times = 1 }, plan.repeated[1])
      local status, _, err = weir("retry", id)
      assert.equal(1, status)
      assert.not_matches("✓ one  <", err)
      assert.matches("retrying " .. id .. " as r_", err)
    end)

    it("is linked to the run it came from", function()
      local id = failed_run()
      local line = json_of("retry", id, "--from", "one", "-q")[1]
      assert.same({ run = id, from = "one" }, line.of)
      local shown = json_of("show", line.run)[1]
      assert.same({ run = id, from = "one" }, shown.of)
      assert.matches("retry of " .. id .. " from one", (select(2, weir("show", line.run))))
    end)

    it("takes another input, and keeps nothing then", function()
      local id = failed_run()
      local lines, status = json_of("retry", id, "--set", "name=Ada", "-q")
      assert.same({ 0, "hello Ada! end" }, { status, lines[1].output })
      lines, status = json_of("retry", id, "--input-override", '{"name": "Eve"}', "-q")
      assert.same({ 0, "hello Eve! end" }, { status, lines[1].output })
      assert.same({ name = "Eve", words = 3 }, json_of("show", lines[1].run)[1].input)
      assert.equal(2, (weir("retry", id, "--set", "words=many")))
      assert.equal(2, (weir("retry", id, "--input-override", "{")))
      assert.equal(3, #runs())
    end)

    it("runs the definition and modules of then, or the latest ones when told to", function()
      local id = failed_run()
      support.write(folder, "modules/agents/picky.lua", (PICKY:gsub('find "x"', 'find "Q"')))
      assert.equal(1, (weir("retry", id, "-q")))
      local before = runs()[1].run
      local result = support.host({ "retry", id, "--latest", "--store", store }, { cwd = folder })
      assert.same({ 0, "hello x! end\n" }, { result.status, result.stdout }, result.stderr)
      assert.not_matches("✓ one  <", result.stderr)
      assert.is_true(before < runs()[1].run)
    end)

    it("stops with conflict when what is kept does not answer what the latest definition asks", function()
      local id = failed_run()
      support.write(folder, "pipelines/chain.lua", (CHAIN:gsub("hello", "goodbye")))
      local result = support.host({ "retry", id, "--latest", "--json", "--store", store }, { cwd = folder })
      assert.equal(8, result.status)
      local line = support.lines(result.stdout)[1]
      assert.same({ "quarantined", "conflict", "one" }, { line.status, line.error.code, line.error.message:match "step '(%w+)'" })
      assert.equal(0, support.host({ "retry", id, "--latest", "--from", "one", "--set", "name=A", "--store", store }, { cwd = folder }).status)
    end)

    it("is refused for a run that waits, with what to do instead", function()
      assert.equal(3, (weir("run", folder .. "/pipelines/waits.lua", "-q")))
      local status, _, err = weir("retry", "last")
      assert.equal(8, status)
      assert.matches("has not ended, it is waiting: `weir show r_%w+` says what for", err)
      assert.equal(6, (weir("retry", "r_zzz")))
      assert.equal(2, (weir "retry"))
      assert.equal(2, (weir("retry", "last", "--where", "status=failed")))
    end)

    it("retries all that fit a query, once somebody says yes", function()
      local ids = { failed_run(), failed_run(), failed_run() }
      assert.equal(0, (weir("run", folder .. "/pipelines/chain.lua", "-q", "--set", "name=Ada")))
      local status, _, err = weir("retry", "--where", "status=failed since=1h pipeline=chain", "--dry-run")
      assert.equal(0, status)
      assert.matches("3 runs would be retried", err)
      assert.matches(ids[2] .. "  chain  failed  failed  .*picky.lua", err)
      assert.equal(4, #runs())
      status, _, err = weir("retry", "--where", "pipeline=chain")
      assert.equal(2, status)
      assert.matches("3 runs would be retried; add %-%-yes", err)
      assert.equal(3, #json_of("retry", "--where", "code=failed", "--dry-run"))
      assert.matches("no run fits", (select(3, weir("retry", "--where", "code=timeout", "--yes"))))
      local lines
      lines, status = json_of("retry", "--where", "step=two", "--yes", "-q")
      assert.same({ 1, 3, "failed" }, { status, #lines, lines[1].status })
      assert.equal(7, #runs())
      for _, wrong in ipairs { "stauts=failed", "status=running", "since=soon", "", "failed" } do
        assert.equal(2, (weir("retry", "--where", wrong, "--yes")), wrong)
      end
    end)
  end)

  describe("weir fork", function()
    it("goes on behind a step with values changed, and leaves the run as it was", function()
      local id = failed_run()
      local before = json_of("show", id)[1]
      local lines, status = json_of("fork", id, "--at", "two", "--set", "two.text=42", "-q")
      assert.same({ 0, "42 end" }, { status, lines[1].output })
      assert.same({ run = id, from = "two" }, lines[1].of)
      local shown = json_of("show", lines[1].run)[1]
      assert.same({ text = 42 }, shown.data.two)
      assert.same({ id, id }, { shown.steps[1].kept, shown.steps[6].kept })
      assert.equal(json.null, shown.steps[7].kept)
      assert.same(before, json_of("show", id)[1])
      assert.matches("6 steps of run " .. id .. " kept, not shown", (select(2, weir("trace", lines[1].run))))
    end)

    it("reads values as what they replace: a text stays a text", function()
      local id = failed_run()
      local line = json_of("fork", id, "--at", "one", "--set", "one.text=42", "--set", "input.words=7", "-q")[1]
      assert.equal("42! end", line.output)
      local shown = json_of("show", line.run)[1]
      assert.same({ { text = "42" }, 7 }, { shown.data.one, shown.input.words })
    end)

    it("refuses what cannot be: 6 for a step that never ran, 2 for a failure that stays and for what is not kept", function()
      local id = failed_run()
      local status, _, err = weir("fork", id, "--at", "three")
      assert.equal(6, status)
      assert.matches("step 'three' has not run", err)
      status, _, err = weir("fork", id, "--at", "two")
      assert.equal(2, status)
      assert.matches("%-%-set two=", err)
      assert.equal(6, (weir("fork", id, "--at", "one", "--set", "two.text=a")))
      assert.equal(2, (weir("fork", id, "--at", "one", "--set", "nothing")))
      assert.equal(2, (weir("fork", id, "--at", "one", "--set", "one.text.deep=a")))
      assert.equal(2, (weir("fork", id, "--at", "one", "--set", "input.words=many")))
      assert.equal(2, (weir("fork", id)))
      assert.equal(1, #runs())
    end)
  end)

  describe("weir diff", function()
    it("tells what two runs did differently, step by step", function()
      local id = failed_run()
      local other = json_of("fork", id, "--at", "two", "--set", "two.text=hi", "-q")[1].run
      local status, out = weir("diff", id, other)
      assert.equal(0, status)
      assert.matches("^%- ✗ " .. id .. "  chain  failed in .*\n%+ ✓ " .. other, out)
      assert.matches("~ two  failed, .* | finished, kept\n    %- .*no x please\n    %+ .*hi", out)
      assert.matches("~ three  did not run | finished", out)
      assert.matches("= 5 steps with equal outcomes", out)
      local line = json_of("diff", id, other)[1]
      assert.same({ false, id, other, 7 }, { line.is_equal, line.first.run, line.second.run, #line.steps })
      assert.same({ { path = "", change = "added", first = json.null, second = "hi end" } }, line.output)
      assert.is_true(line.steps[1].is_equal)
      assert.same({ "failed", "finished", json.null }, { line.steps[6].first.status, line.steps[6].second.status, line.steps[7].first })
      assert.matches("the runs did the same", (select(2, weir("diff", id, id))))
      assert.equal(6, (weir("diff", id, "r_zzz")))
    end)
  end)

  describe("weir export and import", function()
    it("carry a run to another store, where it looks as it did", function()
      local id = failed_run()
      local file = folder .. "/run.weir"
      local line = json_of("export", id, file)[1]
      assert.same({ id, file, 64 }, { line.run, line.file, #line.sha256 })
      local elsewhere = folder .. "/elsewhere"
      local status, _, err = support.run { "import", file, "--store", elsewhere }
      assert.equal(0, status)
      assert.matches("imported run " .. id .. " %(chain, failed%)", err)
      local _, ours = weir("show", id, "--json")
      assert.equal(ours, (select(2, support.run { "show", id, "--json", "--store", elsewhere })))
      assert.equal(8, (support.run { "import", file, "--store", elsewhere }))
      assert.equal(1, (support.run { "retry", id, "-q", "--store", elsewhere }))
      local status_out, bytes = weir("export", id)
      assert.same({ 0, "weir run archive" }, { status_out, bytes:match "^[^\n]+" })
    end)

    it("refuse a damaged file with status 75, a missing one with 6", function()
      local id = failed_run()
      local file = folder .. "/run.weir"
      weir("export", id, file)
      local handle = assert(io.open(file, "r+b"))
      handle:seek("set", 200)
      handle:write "damage"
      handle:close()
      local lines = support.lines((select(2, support.run { "import", file, "--json", "--store", folder .. "/elsewhere" })))
      assert.same({ "corrupt", file }, { lines[1].error.code, lines[1].error.file })
      assert.equal(75, (support.run { "import", file, "--store", folder .. "/elsewhere" }))
      assert.equal(6, (support.run { "import", folder .. "/none.weir", "--store", folder .. "/elsewhere" }))
      assert.equal(0, #support.lines((select(2, support.run { "runs", "--json", "--store", folder .. "/elsewhere" }))))
      assert.equal(2, (weir("export", id, "--json")))
    end)

    it("take a run that waits over as paused", function()
      weir("run", folder .. "/pipelines/waits.lua", "-q")
      local file = folder .. "/run.weir"
      assert.equal(0, (weir("export", "last", file)))
      local elsewhere = folder .. "/elsewhere"
      local _, out, err = support.run { "import", file, "--store", elsewhere, "--json" }
      assert.equal("", err)
      local line = support.lines(out)[1]
      assert.same({ "waiting", "approval", "pause" }, { line.status, line.waiting[1].kind, line.waiting[2].kind })
      assert.equal("no run is unfinished\n", (select(3, support.run { "resume", "--store", elsewhere })))
    end)
  end)

  describe("weir runs", function()
    it("says what a run waits for, and why one has failed", function()
      failed_run()
      weir("run", folder .. "/pipelines/waits.lua", "-q")
      local _, out = weir "runs"
      assert.matches("waits  *◷ waiting .*release waits for a decision: Publish%?\n", out)
      assert.matches("chain  *✗ failed .*no x please\n", out)
    end)
  end)
end)
