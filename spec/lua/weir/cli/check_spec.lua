local support = dofile "spec/lua/weir/cli/support.lua"

describe("weir check", function()
  local folder
  setup(function()
    folder = support.folder()
    support.write(folder, "good.yaml", "weir: 1\nname: good\ngroups:\n  - {name: greet, agent: echo}\n")
    support.write(folder, "good.lua", 'local weir = require "weir"\nreturn weir.pipeline "good" {\n  weir.step "greet" { agent = "echo" } }\n')
    support.write(folder, "bad.lua", 'local weir = require "weir"\nreturn weir.pipeline "bad" {\n'
      .. '  weir.step "one" { agent = "ecko" },\n  weir.step "one" { agent = "echo", when = "$.x >" },\n}\n')
    support.write(folder, "broken.lua", "return return\n")
  end)
  teardown(function() support.remove(folder) end)

  it("says ok for what can run", function()
    local status, out, err = support.run { "check", "hello", "digest", "pipelines/publish.lua" }
    assert.equal(0, status)
    assert.equal("", err)
    assert.matches("^hello: ok, 1 group, 1 step %(version %x+%)\n", out)
    assert.matches("publish.lua: ok, a flow", out)
  end)

  it("tells all errors at once, each with its place", function()
    local status, out, err = support.run { "check", folder .. "/bad.lua", folder .. "/broken.lua", "hello" }
    assert.equal(2, status)
    assert.matches("bad.lua:3: .*'ecko'.*did you mean 'echo'", err)
    assert.matches("bad.lua:4: .*one", err)
    assert.matches("broken.lua:1: ", err)
    assert.matches("^hello: ok", out)
  end)

  it("gives each file as a line of JSON", function()
    local status, out = support.run { "check", "--json", folder .. "/bad.lua", "hello" }
    assert.equal(2, status)
    local bad, good = table.unpack(support.lines(out))
    assert.is_false(bad.ok)
    assert.equal(3, bad.errors[1].line)
    assert.equal("echo", bad.errors[1].did_you_mean)
    assert.is_true(good.ok)
    assert.same({}, good.errors)
    assert.matches("^%x+$", good.version)
  end)

  it("prints one normal form for all ways of writing", function()
    local _, lua = support.run { "check", folder .. "/good.lua", "--print" }
    local _, yaml = support.run { "check", folder .. "/good.yaml", "--print", "yaml" }
    assert.equal(lua, yaml)
    assert.matches("^weir: 1\nname: good\n", lua)
    local _, as_json = support.run { "check", "--print", "json", folder .. "/good.lua" }
    assert.equal("good", require("weir.native.json").decode(as_json).name)
    assert.equal(lua, (select(2, support.run { "check", "--print", folder .. "/good.lua" })))
  end)

  it("has status 6 for what is not there, and says what may be meant", function()
    local status, _, err = support.run { "check", "helo" }
    assert.equal(6, status)
    assert.matches("did you mean 'hello'", err)
    assert.equal(6, (support.run { "check", folder .. "/none.lua" }))
  end)

  it("checks all pipelines of the project where no file is named", function()
    local project = support.folder()
    support.write(project, "weir.lua", "return {}\n")
    local done = support.host({ "check" }, { cwd = project })
    assert.equal(6, done.status)
    assert.matches("there is no pipeline in ", done.stderr)
    support.write(project, "pipelines/a.yaml", "weir: 1\nname: a\ngroups:\n  - {name: greet, agent: echo}\n")
    support.write(project, "pipelines/b.yaml", "weir: 1\nname: b\ngroups:\n  - {name: greet, agent: ecko}\n")
    done = support.host({ "check" }, { cwd = project })
    assert.equal(2, done.status)
    assert.matches("^a: ok, 1 group, 1 step %(version %x+%)\n$", done.stdout)
    assert.matches("b.yaml:4: .*'ecko'", done.stderr)
    support.remove(project)
  end)
end)
