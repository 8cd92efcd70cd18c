-- Commands about the project and the machine: new, modules, doctor, test.
local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"
local uv = require "luv"

describe("weir new", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("makes a project in which the printed command works at once, and whose specs pass", function()
    local made = support.host({ "new", "my shop" }, { cwd = folder })
    assert.equal(0, made.status)
    assert.equal("cd 'my shop' && ./weir run hello --set name=Ada\n", made.stdout)
    local result = assert(process.run({ "sh", "-c", made.stdout }, { cwd = folder, env = support.environment() }))
    assert.equal("Hello, Ada!\n", result.stdout)
    local tested = assert(process.run({ "./weir", "test" }, { cwd = folder .. "/my shop", env = support.environment() }))
    assert.equal(0, tested.status, tested.stdout)
    assert.matches("2 passed, 0 failed", tested.stdout)
    local checked = assert(process.run({ "./weir", "check", "hello" }, { cwd = folder .. "/my shop", env = support.environment() }))
    assert.equal(0, checked.status)
    assert.is_truthy(uv.fs_stat(folder .. "/my shop/.weir"))
  end)

  it("overwrites nothing", function()
    support.write(folder, "shop/weir.lua", "return {}\n")
    local status, _, err = support.run { "new", folder .. "/shop" }
    assert.equal(8, status)
    assert.matches("holds weir.lua already; nothing was written", err)
    assert.is_nil(uv.fs_stat(folder .. "/shop/pipelines"))
  end)

  it("gives programs what it made", function()
    local line = support.lines((select(2, support.run { "new", folder .. "/shop/", "--json" })))[1]
    assert.equal(folder .. "/shop", line.folder)
    for _, file in ipairs(line.files) do assert.is_truthy(uv.fs_stat(line.folder .. "/" .. file), file) end
    assert.equal(7, #line.files)
  end)
end)

describe("weir modules", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "modules/agents/echo.lua", 'return { kind = "agent", name = "echo", api = 1, execute = function() return "mine" end }\n')
    support.write(folder, "modules/agents/wrong.lua", 'return { kind = "agent", name = "other", api = 1, execute = function() end }\n')
  end)
  teardown(function() support.remove(folder) end)

  it("lists those of the project before the built-in ones of the same name", function()
    local result = support.host({ "modules" }, { cwd = folder })
    assert.equal(0, result.status)
    assert.matches("agent +echo +%x+ +modules/agents/echo.lua\n", result.stdout)
    assert.matches("critic +rubric +%x+ +/.*modules/critics/rubric.lua\n", result.stdout)
    assert.matches("broken: .*its file is called 'wrong'", result.stderr)
  end)

  it("gives a line of JSON each", function()
    local result = support.host({ "modules", "--json", "--kind", "agent" }, { cwd = folder })
    local by_name = {}
    for _, line in ipairs(support.lines(result.stdout)) do
      assert.equal("agent", line.kind)
      by_name[line.name] = line
    end
    assert.is_true(by_name.echo.active)
    assert.equal(64, #by_name.echo.version)
    assert.is_false(by_name.wrong.active)
    assert.matches("its file is called 'wrong'", by_name.wrong.error)
  end)
end)

describe("weir doctor", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function findings(cwd)
    local result = support.host({ "doctor", "--json" }, { cwd = cwd })
    local by_name = {}
    for _, line in ipairs(support.lines(result.stdout)) do by_name[line.check] = line end
    return by_name, result.status
  end

  it("finds a new project well, and changes nothing", function()
    support.run { "new", folder .. "/shop" }
    local found, status = findings(folder .. "/shop")
    assert.equal(0, status)
    for name, line in pairs(found) do assert.not_equal("fail", line.status, name) end
    for _, name in ipairs { "lua", "library", "packages", "settings", "modules", "pipelines", "store", "space", "time zones", "terminal" } do
      assert.is_truthy(found[name], name)
    end
    assert.matches("is not there yet", found.store.detail)
    assert.is_nil(uv.fs_stat(folder .. "/shop/.weir"))
  end)

  it("names what is wrong with modules, pipelines and settings, each with a fix", function()
    support.write(folder, "modules/agents/bad.lua", "return nothing here\n")
    support.write(folder, "pipelines/odd.lua", 'local weir = require "weir"\nreturn weir.pipeline "odd" { weir.step "a" { agent = "ecko" } }\n')
    local found, status = findings(folder)
    assert.equal(1, status)
    assert.matches("bad.lua:1: ", found.modules.detail)
    assert.matches("'ecko' is unknown", found.pipelines.detail)
    assert.matches("weir check", found.pipelines.fix)
    support.write(folder, "weir.lua", "return 7\n")
    found, status = findings(folder)
    assert.equal(1, status)
    assert.matches("returns a number; settings are a table", found.settings.detail)
  end)

  it("reads every record of the store, and has status 75 for a damaged one", function()
    local store = folder .. "/.weir"
    for _ = 1, 3 do support.host({ "run", "hello", "-q", "--store", store }, { cwd = folder }) end
    local found, status = findings(folder)
    assert.equal(0, status)
    assert.matches("every record reads back %(3 runs", found.store.detail)
    local file = assert(io.open(store .. "/data.mdb", "r+b"))
    local bytes = file:read "a"
    local changed = bytes:gsub("Hello, world!", "Hellu, world!")
    assert.not_equal(bytes, changed)
    file:seek "set"
    file:write(changed)
    file:close()
    found, status = findings(folder)
    assert.equal(75, status)
    assert.equal("fail", found.store.status)
    assert.matches("damaged", found.store.detail)
  end)

  it("tells the defect of an affected Lua, in a process of its own", function()
    local found = findings(folder)
    local canary = support.host { "doctor", "--concat-canary" }
    local is_right = canary.stdout == "right\n"
    assert.equal(is_right and "ok" or "warn", found.lua.status)
    if not is_right then assert.matches("define no __concat", found.lua.fix) end
  end)
end)

describe("weir test", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "spec/good_spec.lua", 'describe("good", function()\n  it("waits", function() require("weir.task").sleep(0.01) end)\n'
      .. '  it("adds", function() assert.equal(2, 1 + 1) end)\n  pending "later"\nend)\n')
    support.write(folder, "spec/deep/bad_spec.lua", 'it("is wrong", function()\n  assert.equal("a", "b")\nend)\nit("raises", function()\n'
      .. '  require("weir.failure").raise("denied", "no entry")\nend)\n')
    support.write(folder, "spec/syntax/syntax_spec.lua", "x = = 1\n")
    support.write(folder, "spec/hidden.lua", "error 'not a spec'\n")
    support.write(folder, "spec/sleeps/sleeps_spec.lua", 'it("is quick", function() require("weir.task").sleep(3600) end)\n')
  end)
  teardown(function() support.remove(folder) end)

  local function test(...)
    return support.host({ "test", ... }, { cwd = folder })
  end

  it("passes what passes", function()
    local result = test "spec/good_spec.lua"
    assert.equal(0, result.status)
    assert.matches("✓ spec/good_spec.lua  2 tests passed  1 pending", result.stdout)
    assert.matches("\n2 passed, 0 failed, 1 pending in [%d.]+ m?s\n$", result.stdout)
  end)

  it("tells what fails with its place, and has status 1", function()
    local result = test "spec/deep"
    assert.equal(1, result.status)
    assert.matches("✗ is wrong\n +spec/deep/bad_spec.lua:2: ", result.stdout)
    assert.matches("no entry", result.stdout)
    assert.not_matches("/busted/", result.stdout)
    assert.matches("0 passed, 2 failed", result.stdout)
    assert.equal(1, test("spec/syntax").status)
    assert.matches("syntax_spec.lua:1: unexpected symbol", test("spec/syntax").stdout)
  end)

  it("chooses by title, and says so when none fits", function()
    assert.matches("\n1 passed, 0 failed", test("spec/good_spec.lua", "--filter", "adds").stdout)
    local none = test("spec/good_spec.lua", "--filter", "nothing like it")
    assert.equal(6, none.status)
    assert.matches("no test was found", none.stderr)
    assert.equal(6, test("spec/none").status)
  end)

  it("gives a line of JSON each, and one for all", function()
    local lines = support.lines(test("--json", "spec/good_spec.lua", "spec/deep").stdout)
    assert.same({ "spec/good_spec.lua", "good waits", "passed" }, { lines[1].file, lines[1].name, lines[1].status })
    assert.same({ 2, 2, 1 }, { lines[#lines].passed, lines[#lines].failed, lines[#lines].pending })
  end)

  it("lets sleeps jump on a virtual clock", function()
    local began = uv.hrtime()
    assert.equal(0, test("--virtual", "spec/sleeps").status)
    assert.is_true(uv.hrtime() - began < 20e9)
  end)

  it("kills a pipeline at every position of its journal", function()
    local result = support.host { "test", "--crash-everywhere", "hello", "--set", "name=Ada", "--json" }
    assert.equal(0, result.status, result.stderr)
    local summary = support.lines(result.stdout)[1]
    assert.is_true(summary.positions >= 4)
    assert.same({ 0, "finished" }, { summary.failed, summary.status })
    local early = support.host { "test", "--crash-everywhere", "digest", "--set", "path=/no/such/folder" }
    assert.equal(0, early.status)
    assert.matches("the run that was never killed has failed: .*/no/such/folder", early.stdout)
    assert.equal(6, support.host({ "test", "--crash-everywhere", "no_such_pipeline" }).status)
  end)
end)
