local json = require "weir.native.json"
local support = require "spec.lua.weir.cli.support"
local tokens = require "weir.http.tokens"

describe("weir token", function()
  local folder

  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("prints a token once, and keeps what its host needs to know it again", function()
    local status, out, err = support.run({ "token", "ci", "--role", "run", "--store", folder .. "/store" })
    assert.equal(0, status, err)
    local token = out:match "^(weir_%S+)\n$"
    local who = tokens.load(folder .. "/store/tokens"):who(token)
    assert.same({ "ci", "run" }, { who.name, who.role })
    assert.is_nil(tokens.load(folder .. "/store/tokens"):who(token .. "x"))
  end)

  it("adds a second one to the first, as JSON if that is wanted", function()
    local file = folder .. "/tokens"
    support.run { "token", "a", "--file", file }
    local _, out = support.run { "token", "b", "--file", file, "--role", "admin", "--json" }
    local made = json.decode(out)
    assert.same({ "b", "admin", file }, { made.name, made.role, made.file })
    assert.equal(2, tokens.load(file):number())
    assert.equal("admin", tokens.load(file):who(made.token).role)
  end)

  it("refuses a name that is none, a role that is none, a store in memory", function()
    assert.equal(2, (support.run { "token", "two words", "--file", folder .. "/tokens" }))
    assert.equal(2, (support.run { "token", "a", "--role", "king", "--file", folder .. "/tokens" }))
    assert.equal(2, (support.run { "token", "a", "--store", ":memory:" }))
  end)
end)
