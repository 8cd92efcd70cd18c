local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local PIPELINES = {
  fails = 'weir.step "one" { agent = "echo", input = { a = 1 } },\n  weir.step "two" { agent = "boom", retry = { attempts = 2, backoff = 0.01 } },',
  kept_nowhere = 'durability = "none", weir.step "one" { agent = "echo", input = { a = 1 } },',
  needs = 'input = { name = "string", count = "integer" },\n  weir.step "one" { agent = "echo", input = "$.input" },',
  data = 'weir.step "one" { agent = "echo", input = { b = weir.list { 1, 2.5 }, a = "x" } },',
  talks = 'weir.step "one" { agent = "talks" },',
  maps = 'weir.map "all" { over = weir.list { 1, 2, 3 }, weir.step "each_one" { agent = "echo", input = { n = "$.item" } } },',
  unlucky = 'weir.map "all" { over = weir.list { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, tolerate = 15, weir.step "each_one" { agent = "boom" } },',
}
local AGENTS = {
  boom = 'function M.execute() error "it broke" end',
  talks = 'function M.execute(ctx) print("said \\27[2J this") ctx:log("warn", "careful") ctx:log("debug", "hidden") return { ok = true } end',
}

describe("weir run", function()
  local folder, store
  setup(function()
    folder = support.folder()
    store = folder .. "/store"
    for name, body in pairs(PIPELINES) do
      support.write(folder, ("pipelines/%s.lua"):format(name),
        ('local weir = require "weir"\nreturn weir.pipeline "%s" {\n  %s\n}\n'):format(name, body))
    end
    for name, body in pairs(AGENTS) do
      support.write(folder, ("modules/agents/%s.lua"):format(name),
        ('local M = { kind = "agent", name = "%s", api = 1 }\n%s\nreturn M\n'):format(name, body))
    end
  end)
  teardown(function() support.remove(folder) end)

  local function run(name, ...)
    return support.run { "run", ("%s/pipelines/%s.lua"):format(folder, name), "--store", store, ... }
  end

  it("prints the output, and says on stderr what happened and what to type next", function()
    local status, out, err = support.run { "run", "hello", "--set", "name=Ada", "--store", store }
    assert.equal(0, status)
    assert.equal("Hello, Ada!\n", out)
    assert.matches("✓ greet", err)
    assert.matches(("✓ r_%%w+ finished in .* · weir show last %%-%%-store %s · weir trace last"):format(store:gsub("%p", "%%%0")), err)
    assert.equal(2, select(2, err:gsub("\n", "")))
  end)

  it("prints data as JSON for people, and the run line for programs", function()
    local _, out = run("data", "-q")
    assert.equal('{\n  "a": "x",\n  "b": [\n    1,\n    2.5\n  ]\n}\n', out)
    local status, lines, err = run("data", "--json", "--quiet")
    assert.equal(0, status)
    assert.equal("", err)
    local line = support.lines(lines)[1]
    assert.same({ a = "x", b = { 1, 2.5 } }, line.output)
    assert.same({ "data", "finished", json.null, {} }, { line.pipeline, line.status, line.error, line.waiting })
    assert.matches("^r_[0-9a-z]+$", line.run)
    assert.equal(22, #line.run)
    assert.equal(64, #line.version)
  end)

  it("tells why a run failed, with what its code was doing, and has status 1", function()
    local status, out, err = run "fails"
    assert.equal(1, status)
    assert.equal("", out)
    assert.matches("✓ one", err)
    assert.matches("· two  attempt 1 failed: .*boom.lua:2: it broke; again in", err)
    assert.matches("✗ two .*2 attempts .*it broke %(failed%)", err)
    assert.matches("error: .*boom.lua:2: it broke %(failed%)\n", err)
    assert.not_matches("weir/run/", err)
    local line = support.lines((select(2, run("fails", "--json", "-q"))))[1]
    assert.same({ "failed", json.null, "failed", "two" }, { line.status, line.output, line.error.code, line.error.step })
  end)

  it("says what is wrong with an input, and what to type, with status 2", function()
    local status, out, err = run "needs"
    assert.equal(2, status)
    assert.equal("", out)
    assert.matches("input.name is required (string); try --set name=...", err, 1, true)
    assert.matches("input.count is required (integer); try --set count=3", err, 1, true)
    local _, _, other = run("needs", "--set", "nam=x", "--set", "count=3", "--set", "name=a")
    assert.matches("input.nam is unknown; did you mean 'name'?", other, 1, true)
    assert.equal(2, (run("needs", "--input", "{")))
    assert.equal("invalid", support.lines((select(2, run("needs", "--json"))))[1].error.code)
  end)

  it("takes an input from stdin", function()
    local result = support.host({ "run", folder .. "/pipelines/needs.lua", "--input", "-", "--store", store, "-q" },
      { stdin = '{"name": "Ada", "count": 3}' })
    assert.same({ count = 3, name = "Ada" }, json.decode(result.stdout))
  end)

  it("refuses a definition with all its errors before anything runs", function()
    local path = support.write(folder, "pipelines/wrong.lua",
      'local weir = require "weir"\nreturn weir.pipeline "wrong" {\n  weir.step "a" { agent = "ecko" },\n  weir.step "b" { agnt = "echo" },\n}\n')
    local status, _, err = support.run { "run", path, "--store", store }
    assert.equal(2, status)
    assert.matches("wrong.lua:3: .*ecko", err)
    assert.matches("wrong.lua:4: .*agnt", err)
    local refusal = support.lines((select(2, support.run { "run", path, "--json" })))[1].error
    assert.same({ path, 3 }, { refusal.file, refusal.line })
    os.remove(path)
  end)

  it("has status 6 for a pipeline that is not there, and names the nearest", function()
    local status, _, err = support.run { "run", "helo", "--store", store }
    assert.equal(6, status)
    assert.matches("did you mean 'hello'", err)
  end)

  it("makes no store for what is kept nowhere", function()
    local status, out, err = support.run { "run", folder .. "/pipelines/kept_nowhere.lua", "--store", folder .. "/none" }
    assert.equal(0, status)
    assert.same({ a = 1 }, json.decode(out))
    assert.matches("nothing was kept", err)
    assert.is_nil(require("luv").fs_stat(folder .. "/none"))
  end)

  it("shows what a module prints and logs, harmless to the terminal", function()
    local _, out, err = run("talks", "-q")
    assert.same({ ok = true }, json.decode(out))
    assert.matches("one: said \\x1b[2J this\n", err, 1, true)
    assert.matches("one: warn: careful\n", err)
    assert.not_matches("hidden", err)
  end)

  it("gives a map one line, with the number of its items", function()
    local _, _, err = run "maps"
    assert.matches("✓ all  3 items", err)
    assert.not_matches("each_one", err)
  end)

  it("does not flood the screen with the failures of a map's items", function()
    local status, _, err = run "unlucky"
    assert.equal(0, status)
    assert.equal(10, select(2, err:gsub("✗ all%[%d+%]", "")))
    assert.matches("✗ all  more items failed; `weir show` tells", err)
  end)

  it("says with --dry-run what would run, and runs nothing", function()
    local status, out, err = support.run { "run", "digest", "--set", "path=docs", "--dry-run" }
    assert.equal(0, status)
    assert.matches('input {.*"path":"docs"', out)
    assert.matches("agents/summarize  %x+", out)
    assert.equal("nothing was run\n", err)
    local line = support.lines((select(2, support.run { "run", "hello", "--dry-run", "--json" })))[1]
    assert.same({ "hello", "greet", "echo" }, { line.pipeline, line.steps[1].step, line.steps[1].agent })
    assert.equal("agents/echo", line.modules[1].name)
    assert.equal(2, (support.run { "run", "hello", "--dry-run", "--set", "nam=x" }))
  end)

  it("gives with an equal --key the run that was started first, and refuses another input", function()
    local function keyed(name, ...)
      return support.run { "run", "hello", "--key", "letter", "--set", "name=" .. name, "--store", folder .. "/keyed", ... }
    end
    local _, first = keyed("Ada", "--json")
    local status, out, err = keyed "Ada"
    assert.same({ 0, "Hello, Ada!\n" }, { status, out })
    assert.matches("the key 'letter' started " .. support.lines(first)[1].run .. ", which has ended", err)
    assert.matches("weir show last", err)
    assert.equal(first, (select(2, keyed("Ada", "--json"))))
    local refused, _, why = keyed "Grace"
    assert.equal(8, refused)
    assert.matches("with another input; take another key", why)
  end)

  it("goes the same way again under a seed, and keeps it out of the store", function()
    local first = support.host { "run", "hello", "--seed", "7", "--json", "-q" }
    local second = support.host { "run", "hello", "--seed", "7", "--json", "-q" }
    assert.equal(0, first.status)
    assert.equal(first.stdout, second.stdout)
    local seeded = folder .. "/seeded"
    assert.equal(0, support.host({ "run", "hello", "--seed", "7", "--store", seeded }).status)
    local again = support.host { "run", "hello", "--seed", "7", "--store", seeded }
    assert.equal(8, again.status)
    assert.matches("holds a run of seed 7 already", again.stderr)
  end)
end)
