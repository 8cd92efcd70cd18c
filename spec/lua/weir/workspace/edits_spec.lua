local edits = require "weir.workspace.edits"
local json = require "weir.json"
local support = dofile "spec/lua/weir/workspace/support.lua"

local function edit(kind, value, more)
  local made = { kind = kind, value = value, at_ms = 1 }
  for name, field in pairs(more or {}) do made[name] = field end
  return made
end

local function chain(...)
  local list = {}
  for _, one in ipairs { ... } do list = edits.add("project", "d", list, one) end
  return list
end

local function value(document, list)
  local made = edits.fold("project", "d", document, list)
  return made and made.value
end

describe("edits", function()
  it("are as few as can be", function()
    assert.equal(1, #chain(edit("put", 1), edit("put", 2)))
    assert.equal(1, #chain(edit("append", { 1 }), edit("append", { 2 })))
    assert.equal(2, #chain(edit("append", { 1 }), edit("set", { 2 })))
    assert.equal(1, #chain(edit("append", { 1 }), edit("set", { 2 }), edit "delete"))
    local list = chain(edit("put", 1), edit("counter", 2))
    assert.same({ 1, "put", 3 }, { #list, list[1].kind, list[1].value })
    list = chain(edit("counter", 1), edit "delete", edit("counter", 5))
    assert.same({ 1, "put", 5 }, { #list, list[1].kind, list[1].value })
  end)

  it("give the same folded one by one and folded together", function()
    local random = support.generator(7)
    local kinds = { "put", "append", "set", "delete", "append", "set" }
    for _ = 1, 500 do
      local list, document = {}, random(2) == 1 and { value = { 0, 1 }, at_ms = 0 } or nil
      local start = document
      for _ = 1, random(6) do
        local kind = kinds[random(#kinds)]
        local one = edit(kind, kind ~= "delete" and { random(4), random(4) } or nil)
        list = edits.add("project", "d", list, one)
        document = edits.fold("project", "d", document, { one })
      end
      assert.same(document and document.value, value(start, list))
    end
  end)

  it("never change what they are given", function()
    local first, document = chain(edit("append", { 1 })), { value = { 0 }, at_ms = 0 }
    edits.add("project", "d", first, edit("append", { 2 }))
    assert.same({ 0, 1 }, value(document, first))
    assert.same({ 0 }, document.value)
    assert.same({ 1 }, first[1].value)
  end)

  it("keep type, tags and end of a document that they merge into, and not of one that they put", function()
    local document = { value = 1, type = "t", tags = { "a" }, expires_ms = 9, author = "old", at_ms = 0 }
    local merged = edits.fold("project", "d", document, { edit("counter", 1, { author = "new" }) })
    assert.same({ value = 2, type = "t", tags = { "a" }, expires_ms = 9, author = "new", at_ms = 1 }, merged)
    merged = edits.fold("project", "d", document, { edit("counter", 1, { type = "u", tags = {}, expires_ms = 12 }) })
    assert.same({ "u", {}, 12 }, { merged.type, merged.tags, merged.expires_ms })
    assert.same({ value = 5, at_ms = 1 }, edits.fold("project", "d", document, { edit("put", 5) }))
  end)

  it("take an empty table for an empty list, and no object for a list", function()
    assert.same({ 1 }, value({ value = {} }, { edit("append", { 1 }) }))
    assert.is_true(json.is_list(value(nil, { edit("append", {}) })))
    support.refused("invalid", edits.fold, "project", "d", { value = { a = 1 } }, { edit("set", { 1 }) })
    support.refused("invalid", edits.fold, "project", "d", { value = "1" }, { edit("counter", 1) })
  end)

  it("count without running over", function()
    assert.equal(1.5, edits.merge("d", "counter", 1, 0.5))
    assert.equal(math.mininteger, edits.merge("d", "counter", math.mininteger + 1, -1))
    support.refused("limit", edits.merge, "d", "counter", math.mininteger, -1)
    support.refused("limit", edits.merge, "d", "counter", 1, math.maxinteger)
  end)

  it("merge a text against the one that its writer began with, however often that writer changed it", function()
    local first = edit("text", "A\nb\nc\n", { base = "a\nb\nc\n" })
    local second = edit("text", "A!\nb\nc\n", { base = "A\nb\nc\n" })
    assert.equal(1, #chain(first, second))
    assert.equal("A!\nb\nC\n", value({ value = "a\nb\nC\n" }, chain(first, second)))
    assert.equal("new\n", value(nil, { edit("text", "new\n", { base = "" }) }))
    support.refused("invalid", edits.fold, "project", "d", { value = { 1 } }, { first })
    support.refused("invalid", chain, edit("text", { "no text" }))
  end)

  it("name the lines of a text that two changed, and are settled with a text in their place", function()
    local list = { edit("text", "ours\n", { base = "before\n" }), edit("text", "ours\nmore\n", { base = "ours\n" }) }
    local ok, err = pcall(edits.fold, "project", "d", { value = "theirs\n" }, list)
    assert.is_false(ok)
    assert.matches("document 'd' of project: line 1 was changed by two writers", err.message)
    assert.equal("conflict", err.code)
    local settled = edits.settle(list, err.details, "both\n")
    assert.equal("both\n", value({ value = "theirs\n" }, { settled[1] }))
    assert.equal("ours\n", list[1].value)
    assert.is_nil(edits.settle({ edit("text", "another\n", { base = "before\n" }) }, err.details, "both\n"))
  end)
end)
