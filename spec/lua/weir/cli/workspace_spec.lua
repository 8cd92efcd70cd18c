local json = require "weir.json"
local support = dofile "spec/lua/weir/cli/support.lua"

describe("weir workspace", function()
  local folder, store
  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
  end)
  after_each(function() support.remove(folder) end)

  local function weir(...)
    local arguments = { "workspace", ... }
    table.insert(arguments, "--store")
    table.insert(arguments, store)
    return support.run(arguments)
  end

  local function line(...)
    local status, out, err = weir(...)
    assert.equal(0, status, err)
    return support.lines(out)[1]
  end

  it("keeps what is posted, and gives text as text and the rest as JSON", function()
    local status, out = weir("post", "notes/river", "ebb and flow", "--type", "note", "--tag", "tide", "--author", "ann")
    assert.equal(0, status)
    assert.matches("^notes/river  version 1\n$", out)
    weir("post", "numbers", '{"a": [1, 2.5]}')
    assert.equal("ebb and flow\n", select(2, weir("get", "notes/river")))
    assert.same({ a = { 1, 2.5 } }, json.decode((select(2, weir("get", "numbers")))))
    local document = line("get", "notes/river", "--json")
    assert.same({ "ebb and flow", "note", { "tide" }, "ann", 1, "project", json.null },
      { document.value, document.type, document.tags, document.author, document.version, document.scope, document.expires_at })
  end)

  it("takes a value from a file, and text that looks like something else", function()
    local path = support.write(folder, "value.json", "[1, null]")
    weir("post", "file", "@" .. path)
    assert.same({ 1, json.null }, line("get", "file", "--json").value)
    weir("post", "text", "@" .. path, "--text")
    assert.equal("@" .. path, line("get", "text", "--json").value)
    weir("post", "digits", "12", "--text")
    assert.equal("12", line("get", "digits", "--json").value)
    assert.equal(2, (weir("post", "x", "@" .. folder .. "/none")))
  end)

  it("lists in columns, or a line of JSON for each, and says when there may be more", function()
    for _, name in ipairs { "a/1", "a/2", "b" } do weir("post", name, "1", "--tag", name:sub(1, 1)) end
    local _, out = weir "list"
    assert.matches("^NAME +VERSION +TYPE +TAGS +AUTHOR +WRITTEN\na/1 ", out)
    local function names(...)
      local found = {}
      for index, document in ipairs(support.lines((select(2, weir("list", "--json", ...))))) do found[index] = document.name end
      return table.concat(found, " ")
    end
    assert.equal("a/1 a/2 b", names())
    assert.equal("a/1 a/2", names "a/")
    assert.equal("b", names("--tag", "b"))
    assert.equal("a/2", names("--after", "a/1", "--limit", "1"))
    local _, _, err = weir("list", "--limit", "2")
    assert.matches("%-%-after 'a/2'", err)
    _, _, err = weir("list", "--type", "none")
    assert.matches("no document fits", err)
  end)

  it("merges, shows versions and searches", function()
    weir("post", "visits", "1", "--merge", "counter")
    assert.equal(2, line("post", "visits", "2", "--merge", "counter", "--json").version)
    assert.equal(3, line("get", "visits", "--json").value)
    assert.equal(1, line("get", "visits", "--version", "1", "--json").value)
    local _, out = weir("history", "visits")
    assert.matches("^VERSION +LSN +KIND.*\n +2 .*post.*\n +1 ", out)
    assert.equal(2, #support.lines((select(2, weir("history", "visits", "--json")))))
    weir("post", "text", "the weir and the mill")
    assert.equal("text", line("search", "mill", "--json").name)
    assert.matches("text .* 0%.%d%d", select(2, weir("search", "weir")))
  end)

  it("exports the documents of a scope, and imports them into another store or scope", function()
    weir("post", "notes/river", "ebb and flow", "--type", "note", "--tag", "tide", "--ttl", "7d")
    weir("post", "notes/mill", '{"a": [1, null]}')
    weir("post", "other", "1")
    local _, exported = weir("export", "notes/")
    local path = support.write(folder, "documents.jsonl", exported)
    assert.equal(2, #support.lines(exported))
    store = folder .. "/another"
    assert.same({ documents = 2, scope = "pipeline:mill" }, line("import", path, "--scope", "pipeline:mill", "--json"))
    local river = line("get", "notes/river", "--scope", "pipeline:mill", "--json")
    assert.same({ "ebb and flow", "note", { "tide" } }, { river.value, river.type, river.tags })
    assert.is_string(river.expires_at)
    assert.same({ a = { 1, json.null } }, line("get", "notes/mill", "--scope", "pipeline:mill", "--json").value)
    assert.same({ "notes/mill", "notes/river" }, { support.lines((select(2, weir("export", "--scope", "pipeline:mill"))))[1].name,
      support.lines((select(2, weir("export", "--scope", "pipeline:mill"))))[2].name })
  end)

  it("imports nothing of a file with a line that is no document, and says which", function()
    local path = support.write(folder, "documents.jsonl", '{"name": "a", "value": 1}\n{"name": "b"}\n')
    local status, _, err = weir("import", path)
    assert.equal(2, status)
    assert.matches("line 2: name and value are needed", err)
    assert.equal(6, (weir("get", "a")))
    for text, message in pairs { ["[1]"] = "line 1 is no JSON object", ['{"name": "a", "value": 1, "by": "x"}'] = "no field 'by'" } do
      assert.matches(message, select(3, weir("import", support.write(folder, "bad.jsonl", text))))
    end
  end)

  it("writes over no version that was not expected", function()
    weir("post", "x", "1")
    assert.equal(8, (weir("post", "x", "2", "--version", "0")))
    local status, out = weir("post", "x", "2", "--version", "7", "--json")
    assert.equal(8, status)
    assert.matches("version 7 expected, found 1", support.lines(out)[1].error.message)
    assert.equal(0, (weir("post", "x", "2", "--version", "1")))
  end)

  it("deletes, and says what differs between two moments", function()
    local before = line("post", "old", "1", "--json").lsn
    line("post", "old", "2", "--json")
    local middle = line("post", "new", "1", "--json").lsn
    assert.matches("^old  version 3, deleted\n$", select(2, weir("delete", "old")))
    assert.equal("+ new  version 1\n~ old  version 1 to 2\n", select(2, weir("diff", tostring(before), tostring(middle))))
    assert.equal("+ new  version 1\n- old  version 1\n", select(2, weir("diff", tostring(before))))
    assert.same({ name = "old", scope = "project", before = 2, after = json.null }, line("diff", tostring(middle), "--json"))
    assert.matches("nothing differs", select(3, weir("diff", tostring(middle), tostring(middle))))
    assert.equal(6, (weir("delete", "old")))
  end)

  it("reads the documents of a run by its id or `last`, apart from those of others", function()
    support.run { "run", "hello", "--store", store, "-q" }
    weir("post", "in-run", "1", "--scope", "run:last")
    weir("post", "in-pipeline", "1", "--scope", "pipeline:hello")
    assert.equal("in-run", line("list", "--json", "--scope", "run:last").name)
    assert.matches("^run:r_", line("get", "in-run", "--json", "--scope", "run:r_").scope)
    assert.equal("in-pipeline", line("list", "--json", "--scope", "pipeline:hello").name)
    assert.equal("", (select(2, weir("list", "--json"))))
    assert.equal(6, (weir("list", "--scope", "run:r_zzz")))
    assert.equal(1, #support.lines((select(2, support.run { "runs", "--json", "--store", store }))))
  end)

  it("has written all of a document or nothing when the process is killed", function()
    local function post_and_die(point)
      local result = support.host({ "workspace", "post", "text", "the " .. point .. " weir", "--store", store },
        { cwd = folder, env = { WEIR_FAILPOINT = point .. ":1" } })
      assert.equal(9, result.signal)
    end
    post_and_die "before_commit"
    assert.equal("", (select(2, weir("search", "weir", "--json"))))
    assert.equal(6, (weir("get", "text")))
    assert.equal("", (select(2, weir("diff", "0", "--json"))))
    post_and_die "after_commit"
    assert.equal("text", line("search", "weir", "--json").name)
    assert.equal("the after_commit weir", line("get", "text", "--json").value)
    assert.equal(2, line("post", "text", "next", "--json").version)
  end)

  it("says what it does not understand", function()
    weir("post", "document", "1")
    local _, _, err = weir("get", "documnet")
    assert.matches("no document 'documnet' in project; did you mean 'document'", err)
    for _, arguments in ipairs { { "get" }, { "list", "a", "b" }, { "post", "x" }, { "diff", "yesterday" }, { "get", "x", "--tag", "t" },
      { "list", "--scope", "planet" }, { "post", "x", "1", "--ttl", "soon" }, { "get", "document", "--version", "0" }, { "fly" } } do
      assert.equal(2, (weir(table.unpack(arguments))), arguments[1])
    end
    assert.equal(6, (support.run { "workspace", "list", "--store", folder .. "/none" }))
  end)

  it("begins its help with an example", function()
    assert.matches("^    weir workspace list", select(2, support.run { "help", "workspace" }))
  end)

  it("says where a sentence of a pyramid of summaries comes from, down to the line", function()
    local status, _, err = support.run { "run", "pyramid", "--set", "path=docs/streaming.md", "--quiet", "--store", store }
    assert.equal(0, status, err)
    local name, of = "pyramid/docs/streaming.md", "pipeline:pyramid"
    local origin = line("zoom", name, "--scope", of, "--sentence", "2", "--json")
    assert.same({ 3, 2, "docs/streaming.md" }, { origin.level, origin.sentence, origin.source })
    local leaf = origin
    while not leaf.places do leaf = leaf.of[1] end
    local handle <close> = assert(io.open("docs/streaming.md", "rb"))
    assert.equal(leaf.text, handle:read "a":sub(leaf.places[1].from, leaf.places[1].to))
    local _, out = weir("zoom", name, "--scope", of, "--sentence", "2")
    assert.matches("^3%.2  [^\n]+\n  2%.%d+  [^\n]+\n    1%.%d+  [^\n]+\n      docs/streaming%.md:" .. leaf.places[1].line .. ", bytes", out)
    assert.is_true(#support.lines((select(2, weir("zoom", name, "--scope", of, "--json")))) > 2) -- all of them
    status, _, err = weir("zoom", name, "--scope", of, "--sentence", "99")
    assert.equal(6, status)
    assert.matches("there is no sentence 99", err)
    weir("post", "plain", "text")
    status, _, err = weir("zoom", "plain")
    assert.equal(2, status)
    assert.matches("no pyramid of summaries", err)
  end)
end)
