local pieces = require "weir.text.pieces"

describe("text in pieces", function()
  local function all(unit, list)
    local text, given = pieces.new(unit), {}
    for index, piece in ipairs(list) do given[index] = text:add(piece) end
    given[#given + 1] = text:rest()
    return given
  end

  it("is given on in whole words, however it is cut", function()
    assert.same({ "the ", "", "tide ", "comes" }, all("words", { "the ti", "de", " comes" }))
    for size = 1, 9 do
      local list, text = {}, "ebb and flow,  twice a day\n"
      for at = 1, #text, size do list[#list + 1] = text:sub(at, at + size - 1) end
      assert.equal(text, table.concat(all("words", list)))
    end
  end)

  it("or in whole sentences", function()
    assert.same({ "", "It ebbs. ", 'It flows!" ', "", "Then" }, all("sentences", { "It ebbs", ". It", ' flows!" T', "hen" }))
  end)

  it("goes back to where it stood after any piece", function()
    local text = pieces.new "words"
    for _, piece in ipairs { "the ti", "de is", " high" } do text:add(piece) end
    text:back(1)
    assert.same({ 1, "ti" }, { text.count, text:rest() })
    assert.equal("tin ", text:add "n can")
    text:back(0)
    assert.equal("", text:rest())
  end)

  it("reads a stream to its end, and goes on from what holds when some is taken back", function()
    local given = {}
    local ctx = {}
    function ctx.items(_, options)
      local at = 0
      return function()
        at = at + 1
        if at == 3 then options.rewind(1) end -- the second piece does not hold
        return ({ "the ti", "ger", "de comes", nil })[at]
      end
    end
    local count = pieces.read(ctx, "words", function(whole) given[#given + 1] = whole end)
    assert.same({ "the ", "tide ", "comes" }, given)
    assert.equal(2, count)
    ctx.items = function() return function() end end
    assert.equal(0, pieces.read(ctx, "words", error)) -- nothing came, so nothing is given
  end)
end)
