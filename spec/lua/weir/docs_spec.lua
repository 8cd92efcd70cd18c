local commands = require "weir.cli.commands"
local docstrings = dofile ".ci/docstrings.lua"
local process = require "weir.port.process"
local uv = require "luv"

local NATIVES = { "scheduler", "coroutine", "channel", "checkpoint", "registry", "json", "hash", "digest", "http_client", "http_server",
  "library", "peer", "secret", "terminal" }

-- Classes of lua/meta/, by the name under which the host keeps their metatable.
local CLASSES = {
  { "scheduler", "Task", "weir.task" }, { "scheduler", "Scope", "weir.scope" }, { "scheduler", "Waiter", "weir.waiter" },
  { "scheduler", "Deferred", "weir.deferred" }, { "channel", "Channel", "weir.channel" }, { "registry", "Registry", "weir.registry" },
  { "json", "Decoder", "weir.json.decoder" }, { "checkpoint", "Store", "weir.store" }, { "checkpoint", "Journal", "weir.journal" },
  { "library", "Library", "weir.library" }, { "terminal", "Terminal", "weir.terminal" },
  { "http_server", "Server", "weir.http.server" }, { "http_server", "Request", "weir.http.request" },
}

local function guides()
  local found = { "README.md" }
  for name, kind in uv.fs_scandir_next, assert(uv.fs_scandir("docs")) do
    if kind == "file" and name:find "%.md$" then found[#found + 1] = "docs/" .. name end
  end
  table.sort(found)
  return found
end

local function run(args)
  return assert(process.run(args, { timeout = 500, env = uv.os_environ() }))
end

local function declared(native, owner)
  local names = {}
  for _, item in ipairs(assert(docstrings.source(("lua/meta/%s.lua"):format(native))).items) do
    if item.owner == owner then names[#names + 1] = item.name end
  end
  table.sort(names)
  return names
end

local function names_of(exports)
  local names = {}
  for name in pairs(exports) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Headings as links name them: lower case, without punctuation, blanks as dashes.
local function anchors(path)
  local found, is_code = {}, false
  for line in docstrings.read(path):gmatch "[^\n]+" do
    if line:find "^```" then is_code = not is_code end
    local title = not is_code and line:match "^#+ (.*)$"
    if title then found[title:lower():gsub("[^%w%s_-]", ""):gsub(" ", "-")] = true end
  end
  return found
end

local function broken_links(path)
  local folder, broken = path:match "^(.*/)" or "", {}
  local text = docstrings.read(path):gsub("\n```.-\n```", "")
  for target in text:gmatch "%]%(([^)]+)%)" do
    local file, anchor = target:match "^([^#]*)#?(.*)$"
    local full = file == "" and path or folder .. file
    if not target:find "^%a+:" then
      local there = docstrings.read(full)
      if not there or anchor ~= "" and not anchors(full)[anchor] then broken[#broken + 1] = target end
    end
  end
  return broken
end

describe("the guides", function()
  for _, path in ipairs(guides()) do
    it("show what happens: " .. path, function()
      local result = run { "lua5.4", ".ci/guides", "--weir", uv.exepath(), path }
      assert.equal(0, result.status, result.stdout .. result.stderr)
    end)

    it("link to what is there: " .. path, function()
      assert.same({}, broken_links(path))
    end)
  end

  it("explain every command", function()
    local text = docstrings.read "docs/cli.md"
    for _, name in ipairs(commands.names) do assert.is_truthy(text:find("weir " .. name, 1, true), name) end
  end)

  it("notice an example that is not true any more", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write "```sh runnable\n./weir help no-such-command\n```\n\n```lua\nreturn return\n```\n"
    file:close()
    local result = run { "lua5.4", ".ci/guides", "--weir", uv.exepath(), path }
    os.remove(path)
    assert.equal(1, result.status)
    assert.is_truthy(result.stdout:find("2 findings", 1, true), result.stdout)
  end)
end)

describe("the reference", function()
  it("says what the docstrings say", function()
    local result = run { "lua5.4", ".ci/reference", "--check" }
    assert.equal(0, result.status, result.stdout .. result.stderr)
  end)
end)

describe("the annotations of native modules", function()
  for _, name in ipairs(NATIVES) do
    it("name every export and nothing else: " .. name, function()
      assert.same(names_of(require("weir.native." .. name)), declared(name, "M"))
    end)
  end

  it("cover every native module that is part of the host", function()
    local known = { fingerprint = true } -- a function, no table
    for _, name in ipairs(NATIVES) do known[name] = true end
    for name in docstrings.read("host/natives.c"):gmatch '"weir%.native%.([%w_]+)"' do
      assert.is_true(known[name], name)
      assert.is_truthy(docstrings.source(("lua/meta/%s.lua"):format(name)), name)
    end
    assert.equal("function", type(require "weir.native.fingerprint"))
  end)

  for _, class in ipairs(CLASSES) do
    it(("name every method and nothing else: %s %s"):format(class[1], class[2]), function()
      require("weir.native." .. class[1])
      local meta = assert(debug.getregistry()[class[3]], class[3])
      assert.same(names_of(meta.__index), declared(class[1], class[2]))
    end)
  end

  it("say of each what it does or gives", function()
    for _, name in ipairs(NATIVES) do
      for _, item in ipairs(docstrings.source(("lua/meta/%s.lua"):format(name)).items) do
        local doc = item.doc
        assert.is_truthy(doc and #doc.prose + #doc.returns + #doc.params > 0 or item.value, name .. "." .. item.name)
      end
    end
  end)
end)
