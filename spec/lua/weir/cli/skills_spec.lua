-- weir skills: the list, one skill, a trial, a removal; and skills as agents in runs from the command line.
local json = require "weir.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local USE = [[
local weir = require "weir"
return weir.pipeline "use" { input = { text = "string" }, weir.step "read" { agent = "read_csv", input = { text = "$.input.text" } },
  output = "$.read.count" }
]]

describe("weir skills", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "pipelines/use.lua", USE)
  end)
  after_each(function() support.remove(folder) end)

  local function run(...) return support.host({ ... }, { cwd = folder }) end

  local function learn() return run("run", "learn", "--set", "need=read CSV") end

  it("says that nothing was learned yet, and how to", function()
    assert.equal(6, run("skills").status)
    run("run", "hello", "--set", "name=Ada")
    local result = run "skills"
    assert.equal(0, result.status)
    assert.match("weir run learn", result.stderr, 1, true)
  end)

  it("tries what is found for a need, and registers nothing", function()
    local result = run("skills", "trial", "read CSV")
    assert.equal(0, result.status, result.stderr)
    assert.match("read_csv 1.0.0  approve, 8 of 8 tests passed", result.stdout, 1, true)
    assert.equal("", run("skills", "--json").stdout)
    local line = support.lines(run("skills", "trial", "read_csv", "--json").stdout)[1]
    assert.is_true(line.ok)
    assert.same(json.null, line.asks)
    assert.equal(6, run("skills", "trial", "translate from Finnish").status)
  end)

  it("lists what was learned and how its calls went, and shows all of one", function()
    assert.equal(0, learn().status)
    assert.equal(0, run("run", "use", "--set", "text=a,b").status)
    assert.matches("\nread_csv +1%.0%.0 +shadow +1 +100 %% +Reads CSV", run("skills").stdout)
    local line = support.lines(run("skills", "--json").stdout)[1]
    assert.same({ "read_csv", 1, 1 }, { line.name, line.calls, line.good })
    local shown = run("skills", "show", "read_csv")
    assert.match("may        nothing but compute", shown.stdout, 1, true)
    assert.match("trial      approve, 8 of 8 tests passed", shown.stdout, 1, true)
    assert.equal(8, #support.lines(run("skills", "show", "read_csv", "--json").stdout)[1].versions[1].trial.cases)
    assert.equal(6, run("skills", "show", "read_cvs").status)
    assert.match("read_csv", run("skills", "show", "read_cvs").stderr, 1, true)
  end)

  it("makes a skill an agent that definitions can name, in this process and the next", function()
    assert.equal(2, run("check", "pipelines/use.lua").status)
    learn()
    assert.equal(0, run("check", "pipelines/use.lua").status)
    local result = run("run", "use", "--set", "text=a,b\n1,2\n3,4")
    assert.equal(0, result.status, result.stderr)
    assert.equal("2\n", result.stdout)
  end)

  it("removes a skill with the reason", function()
    learn()
    local result = run("skills", "remove", "read_csv", "--because", "we have our own")
    assert.equal(0, result.status, result.stderr)
    assert.equal("removed read_csv, 1 version\n", result.stdout)
    assert.match("cause      we have our own", run("skills", "show", "read_csv").stdout, 1, true)
    assert.equal(2, run("check", "pipelines/use.lua").status)
    assert.equal(6, run("skills", "remove", "read_csv").status)
  end)

  it("lists what failed, with its cause, until when it is remembered", function()
    support.write(folder, "weir.lua", "return { skills = { critic_options = { source_lines = 1 } } }")
    assert.equal(1, run("skills", "trial", "read CSV").status)
    assert.matches("^read_csv %x+  until 20.*its source has %d+ lines", run("skills", "--failed").stdout)
    assert.equal("rejected", support.lines(run("skills", "--failed", "--json").stdout)[1].code)
    assert.match("failed before", run("skills", "trial", "read CSV").stderr, 1, true)
  end)

  it("asks for what an action needs", function()
    assert.equal(2, run("skills", "show").status)
    assert.equal(2, run("skills", "trial").status)
    assert.equal(2, run("skills", "nonsense").status)
  end)

  it("refuses settings that do not fit", function()
    support.write(folder, "weir.lua", "return { skills = { folder = 'x' } }")
    local result = run("config")
    assert.equal(2, result.status)
    assert.match("skills.folder", result.stderr, 1, true)
  end)
end)
