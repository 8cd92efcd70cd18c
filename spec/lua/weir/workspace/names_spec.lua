local names = require "weir.workspace.names"
local support = dofile "spec/lua/weir/workspace/support.lua"

describe("names of the workspace", function()
  it("say which scope is meant, in both directions", function()
    for _, text in ipairs { "run:r_1", "pipeline:mill and pond", "pipeline:a:b", "project" } do
      local kind, place = names.parse_scope(text)
      assert.equal(text, names.scope(kind, place))
    end
    for _, text in ipairs { "", "run", "run:", "planet:x", "run:a\0b", "Project" } do support.refused("invalid", names.parse_scope, text) end
    support.refused("limit", names.parse_scope, "run:" .. ("x"):rep(101))
  end)

  it("make keys that say scope, name and number again", function()
    local key = names.key("run:r_1", "a/b c")
    assert.same({ "run:r_1", "a/b c" }, { names.parse_key(key) })
    for _, n in ipairs { 1, 255, 256, 1 << 40 } do
      local back, number = names.parse_version_key(names.version_key(key, n))
      assert.same({ key, n }, { back, number })
    end
  end)

  it("keep the order of numbers and times, and no key begins with the key of another document", function()
    local key = names.key("project", "a")
    local last = ""
    for _, n in ipairs { 1, 2, 9, 10, 255, 256, 65536 } do
      local this = names.version_key(key, n)
      assert.is_true(last < this)
      last = this
    end
    assert.is_true(names.expiry_key(999, "z") < names.expiry_key(1000, "a"))
    assert.not_equal(names.version_key(key, 1), names.version_key(names.key("project", "ab"), 1):sub(1, #names.version_key(key, 1)))
    assert.is_nil(names.posting_key("project", "wei"):find(names.posting_key("project", "we"), 1, true))
  end)

  it("keep tags once each, in order", function()
    assert.same({ "a", "b" }, names.check_tags({ "b", "a", "b" }, "x"))
    assert.same({}, names.check_tags({}, "x"))
    assert.is_nil(names.check_tags(nil, "x"))
  end)
end)
