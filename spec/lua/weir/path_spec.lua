local json = require "weir.native.json"
local path = require "weir.path"
local value = require "weir.value"

local data = {
  read = { text = "the tide", words = 3, files = json.list { "a", "b", "c" }, ["content-type"] = "md", none = json.null },
  input = { path = "x.md" },
  rows = json.list { { n = 1 }, { n = 2, m = "x" }, "text" },
}

local function get(text)
  return assert(path.compile(text)):get(data)
end

describe("path", function()
  it("finds names, indexes and quoted names", function()
    assert.equal("the tide", get "$.read.text")
    assert.equal("a", get "$.read.files[0]")
    assert.equal("c", get "$.read.files[-1]")
    assert.equal("md", get "$.read['content-type']")
    assert.equal("md", get '$["read"][ "content-type" ]')
    assert.equal(json.null, get "$.read.none")
    assert.equal(2, get "$.rows[1].n")
    assert.equal(data, get "$")
  end)

  it("keeps the type of what it finds", function()
    assert.equal(3, get "$.read.words")
    assert.equal(data.read.files, get "$.read.files")
  end)

  it("gives a list for wildcards, of what is there", function()
    assert.same({ "a", "b", "c" }, get "$.read.files[*]")
    assert.same({ 1, 2 }, get "$.rows[*].n")
    assert.same({ "x.md" }, get "$.input.*")
    local none = get "$.rows[*].q"
    assert.is_true(json.is_list(none))
    assert.equal(0, #none)
  end)

  it("says what is there instead", function()
    local cases = {
      { "$.wrte", "path '$.wrte' finds nothing: $ has input, read, rows" },
      { "$.read.txt", "path '$.read.txt' finds nothing: $.read has content-type, files, none, text, words" },
      { "$.read.files[9]", "path '$.read.files[9]' finds nothing: $.read.files is a list of 3" },
      { "$.read.text.x", "path '$.read.text.x' finds nothing: $.read.text is text" },
      { "$.read.none.x", "path '$.read.none.x' finds nothing: $.read.none is null" },
      { "$.read.words[*]", "path '$.read.words[*]' finds nothing: $.read.words is the number 3" },
      { "$.read.text.len", "path '$.read.text.len' finds nothing: $.read.text is text" },
    }
    for _, case in ipairs(cases) do
      local found, message, code = get(case[1])
      assert.is_nil(found)
      assert.equal(case[2], message)
      assert.equal("not_found", code)
    end
  end)

  it("finds nothing without complaint when it is optional", function()
    local found, message = get "$.read.txt?"
    assert.is_nil(found)
    assert.is_nil(message)
    assert.equal("the tide", get "$.read.text?")
  end)

  it("knows which entry of StepData it needs", function()
    assert.equal("read", assert(path.compile "$.read.text").root)
    assert.is_nil(assert(path.compile "$").root)
    assert.is_nil(assert(path.compile "$.*").root)
  end)

  it("refuses what is no path, with the column", function()
    local cases = {
      { "", 1 }, { "x", 1 }, { "$.", 3 }, { "$..a", 3 }, { "$.a b", 4 }, { "$.a[", 5 }, { "$.a[01]", 5 }, { "$.a[1:2]", 6 },
      { "$.a['b", 5 }, { "$.a[?@.b]", 5 }, { "$.a-b", 4 }, { "$.a[1,2]", 6 }, { "$.a??", 5 }, { "$['\\x']", 5 }, { "$.1a", 3 },
      { "$[-0]", 3 }, { "$['\\ud800']", 5 },
    }
    for _, case in ipairs(cases) do
      local compiled, message, code = path.compile(case[1])
      assert.is_nil(compiled, case[1])
      assert.equal("invalid", code)
      assert.truthy(message:find(("column %d:"):format(case[2]), 1, true), message)
    end
    assert.has_error(function() path.compile(3) end)
  end)

  it("reads the escapes of quoted names", function()
    local compiled = assert(path.compile [=[$['it\'s']['\u00e9\ud83d\udc99']["\"\\"]['\/']]=])
    assert.same({ "it's", "\u{e9}\u{1f499}", '"\\', "/" }, compiled.segments)
  end)
end)

local function evaluate(written)
  local compiled = assert(path.compile_value(written))
  return compiled(data)
end

describe("values with paths", function()
  it("keep the type of a path alone and write text inside text", function()
    assert.equal(3, evaluate "$.read.words")
    assert.equal("3 words in x.md", evaluate "${read.words} words in ${input.path}")
    assert.equal("3", evaluate "${read.words}")
    assert.equal('["a","b","c"]', evaluate "${read.files}")
    assert.equal("md", evaluate "${read['content-type']}")
    assert.equal("null!", evaluate "${read.none}!")
  end)

  it("leave other values as they are", function()
    local written = { 1, 2.5, true, json.null, "plain", "costs $5", { a = json.list {} }, {} }
    local result = evaluate(written)
    assert.is_true(value.equal(written, result))
    assert.is_true(json.is_list(result[7].a))
    assert.is_false(json.is_list(result[8]))
  end)

  it("escape dollar signs", function()
    assert.equal("$.read", evaluate "$$.read")
    assert.equal("$5 in x.md", evaluate "$$5 in ${input.path}")
    assert.equal("${read}", evaluate "$${read}")
    assert.equal("a ${b} 3", evaluate "a $${b} ${read.words}")
  end)

  it("leave out what an optional path does not find", function()
    local result = evaluate { a = "$.nope?", b = { "$.nope?", "$.read.words" }, c = "<${nope?}>" }
    assert.is_nil(result.a)
    assert.is_true(value.equal({ json.null, 3 }, result.b))
    assert.equal("<>", result.c)
    assert.is_nil((evaluate "$.nope?"))
  end)

  it("fail on what another path does not find", function()
    for _, written in ipairs { "$.nope", "x ${nope}", { a = { "$.nope" } } } do
      local result, message, code = evaluate(written)
      assert.is_nil(result)
      assert.truthy(message:find("finds nothing", 1, true))
      assert.equal("not_found", code)
    end
  end)

  it("never scan what was found", function()
    local compiled = assert(path.compile_value { a = "$.input", b = "${input.path}" })
    local result = compiled { input = { path = "${secret} $.secret" }, secret = "no" }
    assert.equal("${secret} $.secret", result.a.path)
    assert.equal("${secret} $.secret", result.b)
  end)

  it("build their tables anew each time", function()
    local compiled = assert(path.compile_value { list = { 1 } })
    local first = compiled(data)
    first.list[1] = 2
    assert.equal(1, compiled(data).list[1])
  end)

  it("share what was found, unless told how to make their own of it", function()
    local shared = assert(path.compile_value { a = "$.read.files" })
    assert.equal(data.read.files, shared(data).a)
    local own = assert(path.compile_value({ a = "$.read.files", b = "$.read.text" }, value.copy))
    local result = own(data)
    assert.same({ "a", "b", "c" }, result.a)
    assert.is_true(result.a ~= data.read.files)
    assert.equal("the tide", result.b)
  end)

  it("report every path with its place", function()
    local _, references = assert(path.compile_value { a = { "$.read.text", "x ${input.path}" }, b = "$.rows?" })
    assert.equal(3, #references)
    assert.same({ root = "read", path = "$.read.text", optional = false, at = "a[0]" }, references[1])
    assert.equal("input", references[2].root)
    assert.is_true(references[3].optional)
  end)

  it("are refused with their place when they do not parse", function()
    local cases = { { { a = { "$.b." } }, "a[0]: path" }, { "x ${", "has no '}'" }, { "${}", "name expected" }, { "$5", "write '$$'" } }
    for _, case in ipairs(cases) do
      local compiled, message, code = path.compile_value(case[1])
      assert.is_nil(compiled)
      assert.equal("invalid", code)
      assert.truthy(message:find(case[2], 1, true), message)
    end
    local deep = {}
    local inner = deep
    for _ = 1, 100 do
      inner.a = {}
      inner = inner.a
    end
    assert.is_nil((path.compile_value(deep)))
  end)
end)
