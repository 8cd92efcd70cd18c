local testing = require "weir.testing"
local files = testing.module("agents/files")

describe("agent files", function()
  local folder

  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p '%s/docs/deep' '%s/secret'"):format(folder, folder)))
  end)

  after_each(function()
    os.execute(("rm -rf '%s'"):format(folder))
  end)

  local function put(path, bytes)
    local file = assert(io.open(folder .. "/" .. path, "wb"))
    file:write(bytes)
    file:close()
  end

  local function run(input, options)
    return files.execute(testing.context(files, { options = options, root = folder }), input)
  end

  it("reads a file and names its source", function()
    put("docs/a.md", "Über\n")
    local output = run({ path = "docs/a.md" })
    assert.equal("Über\n", output.text)
    assert.equal("docs/a.md", output.source)
    assert.equal(6, output.bytes)
  end)

  it("emits the lines of a file of any size as it reads them, so many together", function()
    local text = {}
    for n = 1, 30000 do text[n] = ("line %d of the file\n"):format(n) end
    put("docs/long.txt", table.concat(text) .. "the last")
    local ctx = testing.context(files, { options = { mode = "lines" }, root = folder })
    assert.same({ path = "docs/long.txt", lines = 30001 }, files.execute(ctx, { path = "docs/long.txt" }))
    assert.same({ text = "line 2 of the file\n", line = 2, path = "docs/long.txt" }, ctx.emitted[2])
    assert.same({ text = "the last", line = 30001, path = "docs/long.txt" }, ctx.emitted[30001])
    ctx = testing.context(files, { options = { mode = "lines", together = 1000 }, root = folder })
    files.execute(ctx, { path = "docs/long.txt" })
    assert.same({ 31, 1001, 2000 }, { #ctx.emitted, ctx.emitted[2].line, select(2, (ctx.emitted[1].text .. ctx.emitted[2].text):gsub("\n", "")) })
  end)

  it("refuses lines that are no text, or longer than it may read", function()
    put("docs/bad.txt", "fine\ncaf\xe9\n")
    local ok, err = pcall(files.execute, testing.context(files, { options = { mode = "lines" }, root = folder }), { path = "docs/bad.txt" })
    assert.same({ false, "invalid" }, { ok, err.code })
    assert.matches("lines from 2 on", err.message)
    put("docs/wide.txt", ("x"):rep(5000))
    assert.equal("limit", select(3, run({ path = "docs/wide.txt" }, { mode = "lines", max_bytes = 100 })))
  end)

  it("writes what it then reads", function()
    assert.same({ path = "docs/new/b.md", bytes = 3 },
      run({ path = "docs/new/b.md", text = "abc" }, { mode = "write" }))
    assert.equal("abc", run({ path = "docs/new/b.md" }).text)
  end)

  it("lists files in order, by glob, without hidden and excluded ones", function()
    for _, name in ipairs({ "docs/b.md", "docs/a.txt", "docs/deep/c.md", "docs/.hidden.md", "docs/x.lua" }) do
      put(name, "x")
    end
    local function names(input, options)
      options = options or {}
      options.mode = "list"
      return table.concat(run(input, options).files, " ")
    end
    assert.equal("docs/a.txt docs/b.md docs/deep/c.md", names({ path = "docs", glob = "*.{md,txt}" }))
    assert.equal("docs/b.md docs/deep/c.md", names({ path = "docs/", exclude = "./docs/a.txt", glob = "*.{md,txt}" }))
    assert.equal("docs/b.md", names({ path = "docs" }, { glob = "*.md", recursive = false }))
    assert.equal("docs/.hidden.md docs/b.md docs/deep/c.md", names({ path = "docs" }, { glob = "*.md", hidden = true }))
    assert.equal("docs/deep/c.md", names({ path = "." }, { glob = "c.md" }))
  end)

  it("finds nothing without complaint unless something is required", function()
    assert.equal(0, #run({ path = "docs" }, { mode = "list" }).files)
    local _, message, code = run({ path = "docs", glob = "*.md" }, { mode = "list", required = true })
    assert.equal("not_found", code)
    assert.equal("files: no file below 'docs' matches '*.md'; give another path or glob", message)
  end)

  it("stays below its roots", function()
    put("secret/key", "x")
    assert(os.execute(("ln -s ../secret '%s/docs/link'"):format(folder)))
    for _, path in ipairs({ "../secret/key", "/etc/passwd", "link/key" }) do
      local output, message, code = run({ path = path }, { roots = { "docs" } })
      assert.is_nil(output)
      assert.equal("denied", code, path)
      assert.is_truthy(message:find("roots", 1, true))
    end
  end)

  it("looks below each root in turn", function()
    put("secret/key", "x")
    assert.equal("x", run({ path = "key" }, { roots = { "docs", "secret" } }).text)
  end)

  it("refuses what is no text, too large, not there or no path", function()
    put("docs/latin.txt", "caf\xE9")
    put("docs/large.txt", ("x"):rep(100))
    local function code_of(input, options)
      local output, message, code = run(input, options)
      assert.is_nil(output)
      assert.equal("string", type(message))
      return code
    end
    assert.equal("invalid", code_of({ path = "docs/latin.txt" }))
    assert.equal("limit", code_of({ path = "docs/large.txt" }, { max_bytes = 99 }))
    assert.equal("not_found", code_of({ path = "docs/none.txt" }))
    assert.equal("invalid", code_of({}))
    assert.equal("invalid", code_of({ path = "a\0b" }))
    assert.equal("invalid", code_of({ path = "docs/a" }, { mode = "write" }))
  end)
end)
