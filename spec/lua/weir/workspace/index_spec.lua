local index = require "weir.workspace.index"
local support = dofile "spec/lua/weir/workspace/support.lua"
local workspace = require "weir.workspace"

describe("the index", function()
  local store
  before_each(function() store = support.store() end)
  after_each(function() store:close() end)

  local function found(text, options, of)
    return support.names(support.view(store, of):search(text, options))
  end

  it("finds documents by name, type, tag and the text anywhere in their value", function()
    support.post(store, "reports/tide.md", { head = "Ebb", parts = { { text = "and flow" } } }, { type = "report", tags = { "sea" } })
    for _, word in ipairs { "tide", "EBB", "flow", "report", "sea", "reports" } do assert.equal("reports/tide.md", found(word), word) end
    assert.equal("", found "river")
    assert.equal("", found "head") -- a key is no text
    assert.equal("", found "")
    assert.equal("", found("tide", { scope = "project" }))
  end)

  it("ranks the rare word above the common one, and the shorter document above the longer", function()
    support.post(store, "common", "weir weir weir weir")
    support.post(store, "both", "weir sluice")
    support.post(store, "long", "sluice " .. ("pond "):rep(200))
    for n = 1, 5 do support.post(store, "w" .. n, "a weir by the mill number " .. n) end
    local list = support.view(store):search "weir sluice"
    assert.equal("both", list[1].name)
    assert.is_true(list[1].score > list[2].score)
    assert.equal("both long", found "sluice")
    assert.equal(3, #support.view(store):search("weir", { limit = 3 }))
    assert.equal("common", support.view(store):search("weir")[1].name)
  end)

  it("tells at each moment what was there then", function()
    local moments = {}
    local texts = { "alpha beta", "beta gamma", "gamma gamma gamma gamma", "alpha", nil, "beta" }
    for n = 1, 6 do
      if texts[n] then support.post(store, "doc", texts[n]) else support.delete(store, "doc") end
      moments[n] = workspace.snapshot(store)
    end
    for n = 1, 6 do
      for _, word in ipairs { "alpha", "beta", "gamma" } do
        local expected = texts[n] and texts[n]:find(word) and "doc" or ""
        assert.equal(expected, found(word, nil, { snapshot = moments[n] }), word .. n)
      end
    end
    assert.equal("doc", found "beta")
    assert.equal("", found "alpha")
  end)

  it("knows what a view has not committed, and does not find what it overwrote", function()
    support.post(store, "a", "alpha")
    support.post(store, "b", "alpha")
    local view = support.view(store)
    view:post("a", "beta")
    view:post("c", "alpha")
    assert.equal("b c", support.names(view:search "alpha"))
    assert.equal("a", support.names(view:search "beta"))
    assert.is_true(view:search("beta")[1].pending)
    assert.equal("a b", found "alpha")
  end)

  it("writes only what a change changes", function()
    support.post(store, "doc", "one two three four five six seven eight nine ten")
    local view = support.view(store)
    view:post("doc", "one two three four five six seven eight nine eleven")
    local postings = 0
    for _, operation in ipairs(view:operations()) do
      if operation.space == "workspace.postings" then postings = postings + 1 end
    end
    assert.equal(2, postings)
  end)

  it("holds of a long document its most frequent words", function()
    local parts = {}
    for n = 1, 3000 do parts[n] = ("w%dx"):format(n) end
    local text = table.concat(parts, " ") .. (" often"):rep(5)
    local classes, words = index.terms_of("n", { value = text })
    local count = 0
    for _ in pairs(classes) do count = count + 1 end
    assert.equal(500, count)
    assert.equal(2, classes.often)
    assert.is_true(words >= 3005)
  end)
end)
