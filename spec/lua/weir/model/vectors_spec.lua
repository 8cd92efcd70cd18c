local json = require "weir.json"
local vectors = require "weir.model.vectors"

describe("embeddings that come in", function()
  it("are as many as the texts, of numbers, and of one length", function()
    assert.same({ { 1, 2 }, { 0.5, 1 } }, vectors.check(json.list { json.list { 1, 2 }, json.list { 0.5, 1 } }, 2))
    for _, list in ipairs { json.list { json.list { 1 } }, json.list { json.list { 1 }, json.list { 1, 2 } }, json.list { json.list { 1 }, json.list { "a" } },
      json.list { json.list {}, json.list {} }, json.list { json.list { 1 }, json.null }, json.null, "text" } do
      local found, message = vectors.check(list, 2)
      assert.is_nil(found)
      assert.equal("string", type(message))
    end
  end)
end)
