local files = require "weir.port.files"
local folder = dofile "spec/folder.lua"
local glob = require "weir.port.glob"
local task = require "weir.task"
local uv = require "luv"

describe("port files", function()
  local root

  local function put(name, bytes)
    assert(files.write(root .. "/" .. name, bytes or "", { folders = true }))
  end

  before_each(function() root = assert(uv.fs_mkdtemp "/tmp/weir-files-XXXXXX") end)
  after_each(function() folder.remove(root) end)

  it("reads what it wrote", function()
    for _, bytes in ipairs { "", "text\n", ("\0\255x"):rep(1000000) } do
      assert.is_true(files.write(root .. "/a", bytes))
      assert.is_true(bytes == files.read(root .. "/a"))
    end
  end)

  it("leaves nothing beside a file that it wrote, and keeps its mode", function()
    put "a"
    uv.fs_chmod(root .. "/a", 384) -- 0600
    put("a", "new")
    assert.equal(384, files.stat(root .. "/a").mode)
    assert.same({ "a" }, files.list(root, { hidden = true }))
  end)

  it("leaves nothing behind when a write fails", function()
    uv.fs_mkdir(root .. "/folder", 493)
    local ok, message, code = files.write(root .. "/folder", "x")
    assert.is_nil(ok)
    assert.equal("invalid", code)
    assert.matches("is a folder", message)
    assert.same({}, files.list(root, { hidden = true, recursive = true }))
  end)

  it("says what is wrong with a path", function()
    local _, message, code = files.read(root .. "/none")
    assert.equal("not_found", code)
    assert.equal(("'%s/none': no such file or folder"):format(root), message)
    assert.equal("invalid", select(3, files.read(root)))
    assert.equal("not_found", select(3, files.write(root .. "/no/folder", "x")))
    assert.equal("not_found", select(3, files.list(root .. "/none")))
    assert.equal("not_found", select(3, files.stat(root .. "/none")))
    assert.equal("invalid", select(3, files.read "/dev/null"))
    assert.equal("invalid", select(3, files.read(root .. "/" .. ("x"):rep(300))))
  end)

  it("refuses a file beyond its limit, also one that does not tell its size", function()
    put("a", ("x"):rep(1000))
    assert.equal("limit", select(3, files.read(root .. "/a", { max_bytes = 999 })))
    assert.equal(1000, #files.read(root .. "/a", { max_bytes = 1000 }))
    assert.equal("limit", select(3, files.read("/proc/self/status", { max_bytes = 10 })))
    assert.is_true(#files.read "/proc/self/status" > 10)
  end)

  it("refuses text that is not UTF-8 and says where", function()
    put("a", "caf\xE9")
    local _, message, code = files.read(root .. "/a", { text = true })
    assert.equal("invalid", code)
    assert.matches("not UTF%-8 at byte 4", message)
    assert.equal(4, #files.read(root .. "/a"))
    put("a", "café")
    assert.equal("café", files.read(root .. "/a", { text = true }))
  end)

  it("does not hang on a named pipe", function()
    os.execute("mkfifo " .. root .. "/fifo")
    assert.equal("invalid", select(3, files.read(root .. "/fifo")))
  end)

  it("lists in order, below a folder or all the way down, by pattern", function()
    for _, name in ipairs { "b.md", "a.txt", "sub/c.md", "sub/deep/d.md", ".hidden.md", ".git/e.md", "B.md" } do put(name) end
    assert.same({ "B.md", "a.txt", "b.md" }, files.list(root))
    assert.same({ "B.md", "a.txt", "b.md" }, files.list(root .. "/"))
    assert.same({ "B.md", "a.txt", "b.md", "sub/c.md", "sub/deep/d.md" }, files.list(root, { recursive = true }))
    assert.same({ "B.md", "b.md", "sub/c.md", "sub/deep/d.md" }, files.list(root, { recursive = true, glob = "*.md" }))
    assert.same({ "sub/c.md" }, files.list(root, { recursive = true, glob = "sub/*.md" }))
    local hidden = files.list(root, { recursive = true, hidden = true, glob = "{.,B}*.md" })
    assert.same({ ".hidden.md", "B.md" }, hidden)
    assert.equal(7, #files.list(root, { recursive = true, hidden = true }))
  end)

  it("does not follow a link to a folder, and so never goes in a circle", function()
    put "sub/a"
    uv.fs_symlink(root, root .. "/sub/loop")
    uv.fs_symlink(root .. "/sub/a", root .. "/link")
    uv.fs_symlink(root .. "/nowhere", root .. "/dangling")
    assert.same({ "link", "sub/a" }, files.list(root, { recursive = true }))
  end)

  it("stays below a root", function()
    put "in/a"
    uv.fs_symlink("/etc", root .. "/in/etc")
    uv.fs_symlink("/etc/hostname-that-is-not", root .. "/in/dangling")
    uv.fs_symlink("a", root .. "/in/same")
    local inside = root .. "/in"
    assert.equal(inside .. "/a", files.below(inside, "a"))
    assert.equal(inside .. "/a", files.below(inside, "./a"))
    assert.equal(inside .. "/a", files.below(inside, "same"))
    assert.equal(inside .. "/a", files.below(inside, inside .. "/a"))
    assert.equal(inside .. "/new/file", files.below(inside, "new/file"))
    assert.equal(inside, files.below(inside, "."))
    for _, path in ipairs { "../a", "x/../../a", "..", "etc/passwd", "etc", "dangling", "/etc/passwd", root .. "/inner" } do
      local real, message, code = files.below(inside, path)
      assert.is_nil(real, path)
      assert.equal("denied", code, path)
      assert.matches("not allowed", message)
    end
    assert.equal("not_found", select(3, files.below(root .. "/none", "a")))
  end)

  it("reads, writes and lists below a root only", function()
    put("in/a", "1")
    put("out", "2")
    uv.fs_symlink(root .. "/out", root .. "/in/link")
    local inside = root .. "/in"
    assert.equal("1", files.read("a", { root = inside }))
    assert.equal("denied", select(3, files.read("link", { root = inside })))
    assert.equal("denied", select(3, files.read("../out", { root = inside })))
    assert.is_true(files.write("deep/b", "3", { root = inside, folders = true }))
    assert.equal("3", files.read(inside .. "/deep/b"))
    assert.equal("denied", select(3, files.write("../out", "x", { root = inside })))
    assert.same({ "a", "deep/b", "link" }, files.list(".", { root = inside, recursive = true }))
    assert.equal("denied", select(3, files.list("..", { root = inside })))
  end)

  it("lets go at once when cancelled, and closes what was open", function()
    put("a", ("x"):rep(1000000))
    local function descriptors()
      local count = 0
      for _ in uv.fs_scandir_next, uv.fs_scandir "/proc/self/fd" do count = count + 1 end
      return count
    end
    local before = descriptors()
    for i = 0, 20 do
      task.within({ timeout = i * 0.00005 }, function()
        while true do files.read(root .. "/a") end
      end)
    end
    for _ = 1, 200 do
      if descriptors() <= before then break end
      task.sleep(0.005)
    end
    assert.is_true(descriptors() <= before)
  end)

  it("takes its caller's mistakes for mistakes", function()
    assert.has_error(function() files.read "" end)
    assert.has_error(function() files.read "a\0b" end)
    assert.has_error(function() files.write(root .. "/a", 12) end)
  end)
end)

describe("file name pattern", function()
  local function check(pattern, yes, no)
    local matches = assert(glob.compile(pattern))
    for _, path in ipairs(yes) do assert.is_true(matches(path), pattern .. " " .. path) end
    for _, path in ipairs(no) do assert.is_false(matches(path), pattern .. " " .. path) end
  end

  it("matches parts of a path", function()
    check("*.md", { "a.md", "x/y/a.md", ".md" }, { "a.mdx", "a.txt", "amd" })
    check("*", { "a", "x/a" }, {})
    check("a?c", { "abc", "aéc", "x/abc" }, { "ac", "abbc", "a/c" })
    check("[a-c]x[!0-9]", { "axe", "cxé" }, { "dxe", "ax1" })
    check("[]x]", { "]", "x" }, { "y" })
    check("docs/*.md", { "docs/a.md" }, { "a.md", "docs/x/a.md", "x/docs/a.md" })
    check("docs/**/*.md", { "docs/a.md", "docs/x/y/a.md" }, { "a.md", "x/docs/a.md" })
    check("**/test/*", { "test/a", "x/y/test/a" }, { "test", "test/x/a" })
    check("docs/**", { "docs/a", "docs/x/y" }, { "other/a" })
    check("*.{md,txt}", { "a.md", "a.txt" }, { "a.lua" })
    check("{a,b{c,d}}.x", { "a.x", "bc.x", "bd.x" }, { "b.x" })
    check("a.b+(c)%d", { "a.b+(c)%d" }, { "aXb+(c)%d" })
    check("[", { "[" }, { "a" })
  end)

  it("takes no longer than pattern times name", function()
    local matches = assert(glob.compile(("*a"):rep(60) .. "b"))
    assert.is_false(matches(("a"):rep(200)))
  end)

  it("refuses an empty pattern and a flood of alternatives", function()
    assert.equal("invalid", select(3, glob.compile ""))
    assert.equal("limit", select(3, glob.compile(("{a,b}"):rep(10))))
  end)
end)
