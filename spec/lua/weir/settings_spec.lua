local project = require "weir.project"
local settings = require "weir.settings"
local support = dofile "spec/lua/weir/cli/support.lua"

describe("settings", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  local function resolve(text, flags, env)
    support.write(folder, "weir.lua", text)
    return settings.resolve(project.open(folder), flags, function(name) return (env or {})[name] end)
  end

  it("come from a flag over the environment over weir.lua over the default", function()
    local env = { WEIR_LISTEN = "127.0.0.1:2" }
    local settled = resolve('return { listen = "127.0.0.1:1", log = "warn" }', { listen = "127.0.0.1:3" }, env)
    assert.same({ value = "127.0.0.1:3", origin = "flag", where = "--listen" }, settled.listen)
    assert.same({ value = "warn", origin = "file", where = folder .. "/weir.lua" }, settled.log)
    settled = resolve('return { listen = "127.0.0.1:1" }', {}, env)
    assert.same({ value = "127.0.0.1:2", origin = "environment", where = "WEIR_LISTEN" }, settled.listen)
    settled = resolve('return { listen = "127.0.0.1:1" }', {}, {})
    assert.equal("127.0.0.1:1", settled.listen.value)
    settled = resolve("return {}", {}, {})
    assert.equal("default", settled.listen.origin)
    assert.equal(folder .. "/.weir", settled.store.value)
  end)

  it("take an empty variable for none", function()
    assert.equal("default", resolve("return {}", {}, { WEIR_LOG = "" }).log.origin)
  end)

  it("that nobody knows are refused with what may have been meant", function()
    local ok, err = pcall(resolve, "return { listn = 1 }")
    assert.is_false(ok)
    assert.equal("invalid", err.code)
    assert.matches("weir.lua: there is no setting 'listn'; did you mean 'listen'?", err.message, 1, true)
  end)

  for text, message in pairs {
    ['return { listen = "80" }'] = "weir.lua: listen: ADDRESS:PORT expected",
    ["return { listen = 7 }"] = "listen: ADDRESS:PORT expected, such as 127.0.0.1:4010, or false for none, got integer 7",
    ['return { listen = "127.0.0.1:70000" }'] = "ADDRESS:PORT expected",
    ['return { log = "inf" }'] = "log: one of debug, info, warn, error expected, got string 'inf'; did you mean 'info'?",
    ["return { options = 1 }"] = "options: a table expected, got integer 1",
    ["return { options = { [1] = {} } }"] = "options: tables by name expected, got object at '1'",
    ["return { options = { x = 1 } }"] = "options: tables by name expected, got integer 1 at 'x'",
    ["return { hooks = { a = 1 } }"] = "hooks: tables by name expected, got integer 1 at 'a'",
    ["return { hosts = { 1 } }"] = "hosts: a list of texts expected, got integer 1 at '1'",
    ["return { origins = { a = 'b' } }"] = "origins: a list of texts expected, got string 'b' at 'a'",
    ["return { roots = { '.', '' } }"] = "roots: a list of texts expected, got string '' at '2'",
    ["error {}"] = "weir.lua: an error that is a table",
    ["return { store = '' }"] = "store: a text expected",
    ["return { [1] = 1 }"] = "there is no setting '1'",
  } do
    it(("that do not fit are refused: %s"):format(text), function()
      local ok, err = pcall(resolve, text)
      assert.is_false(ok)
      assert.equal("invalid", err.code)
      assert.matches(message, err.message, 1, true)
    end)
  end

  it("of the environment that do not fit name the variable", function()
    local ok, err = pcall(resolve, "return {}", {}, { WEIR_LOG = "loud" })
    assert.is_false(ok)
    assert.matches("WEIR_LOG: one of debug", err.message, 1, true)
  end)

  it("take false for no address", function()
    assert.is_false(resolve("return { listen = false }").listen.value)
    assert.is_false(resolve("return {}", {}, { WEIR_LISTEN = "off" }).listen.value)
    assert.equal("[::1]:80", resolve('return { listen = "[::1]:80" }').listen.value)
  end)
end)

describe("weir config", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("says where each value comes from", function()
    support.write(folder, "weir.lua", 'return { log = "warn", groups = { ops = { "ada" } } }\n')
    local result = support.host({ "config", "--origin" }, { cwd = folder, env = { WEIR_LISTEN = "127.0.0.1:9" } })
    assert.equal(0, result.status, result.stderr)
    assert.matches("listen +127.0.0.1:9 +WEIR_LISTEN\n", result.stdout)
    assert.matches("log +warn +%S+/weir.lua\n", result.stdout)
    assert.matches('groups +{"ops":%["ada"%]} +%S+/weir.lua\n', result.stdout)
    assert.matches("store +%S+/.weir +default\n", result.stdout)
  end)

  it("gives programs a line for each", function()
    local lines = support.lines(support.host({ "config", "--json", "--store", "x" }, { cwd = folder }).stdout)
    assert.equal(#settings.names, #lines)
    assert.equal("store", lines[1].name)
    assert.equal("x", lines[1].value)
    assert.equal("flag", lines[1].origin)
  end)

  it("ends with 2 for a weir.lua that does not fit", function()
    support.write(folder, "weir.lua", "return { lisen = 1 }\n")
    local result = support.host({ "config" }, { cwd = folder })
    assert.equal(2, result.status)
    assert.matches("did you mean 'listen'?", result.stderr, 1, true)
  end)
end)
