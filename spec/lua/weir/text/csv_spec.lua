local csv = require "weir.text.csv"

describe("comma-separated values", function()
  it("are rows of fields", function()
    assert.same({ { "a", "b" }, { "1", "2" } }, csv.read "a,b\n1,2\n")
    assert.same({ { "a", "" }, { "", "2" } }, csv.read "a,\r\n,2")
    assert.same({}, csv.read "")
    assert.same({ { "a" }, { "b" } }, csv.read "\xEF\xBB\xBFa\n\n\nb")
  end)

  it("may be quoted, with separators, quotes and line ends inside", function()
    assert.same({ { 'a "b"', "c,d" }, { "two\nlines", "" } }, csv.read '"a ""b""","c,d"\n "two\nlines" ,""\n')
  end)

  it("may be separated by something else", function()
    for _, separator in ipairs { ";", "\t", "|" } do
      assert.same({ { "a,b", "c" } }, csv.read(("a,b%sc"):format(separator), { separator = separator }))
      assert.same({ { "a", "b", "c" } }, csv.read(table.concat({ "a", "b", "c" }, separator)))
    end
  end)

  it("say in which row they are wrong", function()
    local rows, message, code = csv.read 'a,b\n"1,2\n'
    assert.same({ nil, "row 2: the quote at byte 5 is not closed", "invalid" }, { rows, message, code })
    assert.match("row 1: text stands behind a quoted field at byte 4", select(2, csv.read '"a"x,b'))
  end)

  it("are read as they were written, whatever is in them", function()
    local seed = 3
    local function draw(n)
      seed = (seed * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
      return seed // 65536 % n + 1
    end
    local pieces = { "a", " ", ",", '"', "\n", "\r\n", "é", "0.5", ";" }
    for _ = 1, 300 do
      local rows, lines = {}, {}
      for number = 1, draw(4) do
        rows[number] = { "first" }
        local cells = { "first" }
        for index = 2, draw(4) do
          local parts = {}
          for at = 1, draw(4) do parts[at] = pieces[draw(#pieces)] end
          rows[number][index] = table.concat(parts)
          cells[index] = '"' .. rows[number][index]:gsub('"', '""') .. '"'
        end
        lines[number] = table.concat(cells, ",")
      end
      assert.same(rows, csv.read(table.concat(lines, "\r\n"), { separator = "," }))
    end
  end)
end)
