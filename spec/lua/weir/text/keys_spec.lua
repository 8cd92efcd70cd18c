local keys = require "weir.text.keys"

describe("what a terminal sends", function()
  local function split(bytes)
    local pieces, rest, is_paste = keys.split(bytes)
    local list = {}
    for index, piece in ipairs(pieces) do list[index] = piece.kind .. " " .. piece.text end
    return list, rest, is_paste
  end

  for name, case in pairs {
    ["keys and sequences as they are"] = { "ab\27[Ac\27OB\27f\r", { "keys ab\27[Ac\27OB\27f\r" }, "" },
    ["an interrupt apart"] = { "a\3b", { "keys a", "interrupt \3", "keys b" }, "" },
    ["a pasted text apart"] = { "a\27[200~x\r\ny\r\27[201~b", { "keys a", "paste x\ny\n", "keys b" }, "" },
    ["a pasted text without control bytes"] = { "\27[200~\0\3x\27[2J\ty\27[201~", { "paste x[2J  y" }, "" },
    ["a pasted text that has not ended"] = { "a\27[200~x", { "keys a" }, "\27[200~x", true },
    ["a sequence that is cut off"] = { "a\27[1;", { "keys a" }, "\27[1;", false },
    ["Escape alone"] = { "\27", {}, "\27", false },
    ["a character that is cut off"] = { "a\xe2\x82", { "keys a" }, "\xe2\x82", false },
    ["whole characters"] = { "ä€😀", { "keys ä€😀" }, "" },
  } do
    it(("is taken apart: %s"):format(name), function()
      local list, rest, is_paste = split(case[1])
      assert.same(case[2], list)
      assert.equal(case[3], rest)
      if case[4] ~= nil then assert.equal(case[4], is_paste) end
    end)
  end

  it("means the same wherever it is cut", function()
    local bytes = "aä\27[A\27[200~one\ntwo\27[201~\3b"
    for cut = 1, #bytes - 1 do
      local first, rest = keys.split(bytes:sub(1, cut))
      local second = keys.split(rest .. bytes:sub(cut + 1))
      local typed, pasted = "", ""
      for _, list in ipairs { first, second } do
        for _, piece in ipairs(list) do
          if piece.kind == "paste" then pasted = pasted .. piece.text else typed = typed .. piece.text end
        end
      end
      assert.equal("one\ntwo", pasted, cut)
      assert.equal("aä\27[A\3b", typed, cut)
    end
  end)
end)
