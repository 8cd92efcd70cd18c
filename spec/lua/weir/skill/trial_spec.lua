-- Tests 78 and 80, threat T17: what is wrong with a skill is found before it is registered, refused, and told to the audit.
local json = require "weir.json"
local loopback = dofile "spec/loopback.lua"
local manifest_of = require "weir.skill.manifest"
local names = require "weir.skill.names"
local scan = require "weir.skill.scan"
local shelf = require "weir.skill.shelf"
local support = dofile "spec/lua/weir/skill/support.lua"

--- Answers each path with what a table says; a function gets the client.
local function serve(pages)
  return loopback.listen(function(client)
    local asked = ""
    client:read_start(function(_, bytes)
      if not bytes then return end
      asked = asked .. bytes
      local path = asked:match "^GET (%S+) .-\r\n\r\n"
      if not path then return end
      asked = ""
      local page = pages[path]
      if type(page) == "function" then return page(client) end
      client:write(page and ("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"):format(#page, page)
        or "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    end)
  end)
end

local function index_of(manifest, path, change)
  local entry = { name = manifest.name, version = manifest.version, description = manifest.description, tags = manifest.tags,
    hash = manifest_of.hash(manifest), manifest = path }
  for name, value in pairs(change or {}) do entry[name] = value end
  return assert(json.encode { weir_skills = 1, skills = json.list { entry } })
end

describe("the trial of a skill", function()
  local place
  before_each(function() place = support.place() end)
  after_each(function() place:close() end)

  -- Tries the one candidate; the refusal has to be on record.
  local function refused(need)
    local candidate = place:candidate(need or "double a number")
    local tried, message, code = place.scout:try(candidate)
    assert.is_nil(tried)
    local audit = place:audit()
    assert.equal("refuse skill", audit[#audit].action)
    assert.equal("skills/" .. candidate.name, audit[#audit].what)
    assert.is_not_nil(audit[#audit].to:find(message:sub(1, 40), 1, true))
    return message, code, candidate
  end

  it("runs its own tests in the sandbox and has a critic judge them", function()
    place:add()
    local tried = assert(place.scout:try(place:candidate "double a number"))
    assert.same({ { name = "two", ok = true }, { name = "none", ok = true } }, tried.trial.cases)
    assert.equal("approve", tried.trial.verdict)
    assert.equal(1, tried.trial.score)
    assert.is_nil(tried.asks)
  end)

  it("refuses a skill one of whose tests does not pass, and says which", function()
    place:add { tests = { { name = "three", input = { n = 3 }, output = { double = 7 } }, { name = "none", input = {}, error = "failed" } } }
    local message, code = refused()
    assert.equal("rejected", code)
    assert.match("1 of 2 tests do not pass: 'three' gave {\"double\":6}, expected {\"double\":7}", message, 1, true)
  end)

  it("compares outside of the sandbox, so that a skill cannot vouch for itself", function()
    place:add({}, [[
getmetatable = function() return { __eq = function() return true end } end
return { execute = function() return setmetatable({ double = 0 }, { __eq = function() return true end }) end }]])
    assert.equal("rejected", select(2, refused()))
  end)

  it("refuses what does not do the same twice", function()
    local source = "local t = {} return { execute = function(ctx, input) return { double = input.n and tonumber(tostring(t):match('0x(%x+)'), 16) % 1000003 or error() } end }\n"
    place:add({ version = "1.0.2", tests = { { name = "two", input = { n = 2 }, where = "$.output.double >= 0" }, { name = "none", input = {}, error = "failed" } } }, source)
    local message = refused()
    assert.match("did not do the same a second time", message, 1, true)
  end)

  it("gives the same verdict and proof each time", function()
    place:add()
    local candidate, proofs = place:candidate "double a number", {}
    for index = 1, 4 do proofs[index] = assert(place.scout:try(candidate)).trial.proof end
    for index = 2, 4 do assert.equal(proofs[1], proofs[index]) end
    place:add { version = "1.0.1" }
    assert.not_equal(proofs[1], assert(place.scout:try(place:candidate { name = "double" })).trial.proof)
  end)

  it("has no effects: what a skill asks for is answered from its tests", function()
    place:add({ name = "stars", description = "Counts the stars of a project on the web", gives = { stars = "integer" },
      grants = { http = { hosts = { "api.example.org" } } }, tests = {
        { name = "some", input = { of = "weir" }, output = { stars = 7 }, answers = { http = { { status = 200, body = "7" } } } },
        { name = "nothing is asked in a trial", input = { of = "weir" }, error = "denied" } } }, [[
return { execute = function(ctx, input)
  local answer, message, code = ctx:http { url = "https://api.example.org/" .. input.of }
  if not answer then return nil, message, code end
  return { stars = math.tointeger(tonumber(answer.body)) }
end }]])
    local tried = assert(place.scout:try(place:candidate "count stars"))
    assert.equal(2, tried.trial.passed)
    assert.same({ "ask api.example.org by HTTP, with GET" }, tried.added)
  end)

  it("ends a test that takes too much time or memory", function()
    place:add({ limits = { cpu_seconds = 1 } }, "return { execute = function() while true do end end }\n")
    assert.match("limit: sandbox 'double': it used more than 1 seconds", refused(), 1, true)
  end)

  it("sends a skill without tests to a person", function()
    place:add { tests = json.list {} }
    local tried = assert(place.scout:try(place:candidate "double a number"))
    assert.equal("escalate", tried.trial.verdict)
    assert.match("a person has to look at its source", tried.asks, 1, true)
  end)

  it("looks at the source first: bytecode, size, what does not parse, names that no skill needs", function()
    for source, wanted in pairs { ["\27Lua"] = "denied", [("-"):rep(300000)] = "limit", ["return +"] = "invalid",
      ["return { execute = function() return os.time() end }"] = "denied", ["local f = load return {}"] = "denied",
      ["return require('io')"] = "denied", ["return { execute = function() return debug end }"] = "denied" } do
      assert.equal(wanted, select(3, scan.check(source, "x")), source:sub(1, 40))
    end
    assert.is_true(scan.check("-- os.time\nlocal s = 'io' local t = { io = 1 } return { execute = function(ctx) return t.io .. ctx.os .. [[debug]] end }", "x"))
    assert.same({ { line = 2, name = "os" }, { line = 3, name = "io" } }, names.find "\nreturn os.time(),\n io.open")
  end)

  it("refuses a changed byte of the source, and a changed manifest", function()
    local _, source, folder = place:add()
    support.write(folder .. "/double.lua", (source:gsub("%* 2", "* 3")))
    local message, code = refused()
    assert.equal("corrupt", code)
    assert.match("its source is not the one that its manifest names", message, 1, true)
  end)

  it("refuses a manifest that is not the one of the index, such as one with another grant", function()
    local manifest, source = support.package()
    local changed = support.package { grants = { clock = true } }
    local server <close> = setmetatable({ inner = serve { ["/index.json"] = index_of(manifest, "double/skill.json"),
      ["/double/skill.json"] = assert(json.encode(changed)), ["/double/double.lua"] = source } }, { __close = function(self) self.inner:close() end })
    place:close()
    place = support.place { folders = {}, indexes = { server.inner.url .. "/index.json" } }
    local message, code = refused()
    assert.equal("corrupt", code)
    assert.match("its manifest is not the one with the hash", message, 1, true)
  end)

  it("does not hold it against a skill that somebody else claims to have it", function()
    local manifest, source = support.package()
    local server <close> = setmetatable({ inner = serve { ["/index.json"] = index_of(manifest, "skill.json", { tags = { "number", "double" } }),
      ["/skill.json"] = assert(json.encode((support.package { description = "Doubles a number, or so" }))), ["/double.lua"] = source } },
      { __close = function(self) self.inner:close() end })
    place:close()
    place = support.place { folders = { "skills" }, indexes = { server.inner.url .. "/index.json" } }
    place:add()
    local findings = place.scout:find "double a number"
    assert.equal(2, #findings.candidates)
    for _, candidate in ipairs(findings.candidates) do
      local tried, _, code = place.scout:try(candidate)
      assert.equal(candidate.origin.kind == "index" and "corrupt" or nil, code)
      assert.equal(candidate.origin.kind == "folder", tried ~= nil)
    end
    assert.equal("folder", place.scout:find("double a number").candidates[1].origin.kind)
  end)

  it("fetches from an index on the web by content hash", function()
    local manifest, source = support.package()
    local server <close> = setmetatable({ inner = serve { ["/i/index.json"] = index_of(manifest, "double/skill.json"),
      ["/i/double/skill.json"] = assert(json.encode(manifest)), ["/i/double/double.lua"] = source } }, { __close = function(self) self.inner:close() end })
    place:close()
    place = support.place { folders = {}, indexes = { server.inner.url .. "/i/index.json" } }
    local version = place:learn "double a number"
    assert.equal("index", version.origin.kind)
    assert.same({ double = 6 }, (place:call("double", { n = 3 })))
  end)

  it("refuses what an index answers without end", function()
    local manifest = support.package()
    local server <close> = setmetatable({ inner = serve { ["/index.json"] = index_of(manifest, "skill.json"),
      ["/skill.json"] = function(client)
        client:write("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n" .. ("x"):rep(1 << 20))
      end } }, { __close = function(self) self.inner:close() end })
    place:close()
    place = support.place { folders = {}, indexes = { server.inner.url .. "/index.json" } }
    assert.equal("limit", select(2, refused()))
  end)

  it("refuses paths that lead elsewhere: in a manifest, in an index, through a link", function()
    for _, file in ipairs { "../double.lua", "/etc/passwd", "a/b.lua", "..", ".hidden.lua", "x.lua\0", "double.so" } do
      local manifest = support.package { source = { file = file, sha256 = ("0"):rep(64) } }
      assert.equal("invalid", select(3, manifest_of.check(manifest, "x")), file)
    end
    for _, at in ipairs { "../skill.json", "http://169.254.169.254/skill.json", "//other/skill.json", "file:///etc/passwd", "a/../../b.json" } do
      local manifest = support.package()
      local server <close> = setmetatable({ inner = serve { ["/index.json"] = index_of(manifest, at) } }, { __close = function(self) self.inner:close() end })
      local other <close> = support.place { folders = {}, indexes = { server.inner.url .. "/index.json" } }
      local findings = other.scout:find "double a number"
      assert.same({}, { table.unpack(findings.candidates) })
      assert.match("entry 0 cannot be used", findings.problems[1], 1, true)
    end
    local _, _, folder = place:add()
    os.remove(folder .. "/double.lua")
    assert(require("luv").fs_symlink("/etc/hostname", folder .. "/double.lua"))
    assert.equal("denied", select(2, refused()))
  end)

  it("refuses an older version than was registered, and the same one with other contents", function()
    place:add { version = "2.0.0" }
    place:learn "double a number"
    local manifest, source = support.package { version = "1.9.9" }
    support.write(place.folder .. "/skills/old/skill.json", assert(json.encode(manifest)))
    support.write(place.folder .. "/skills/old/double.lua", source)
    local find = require "weir.skill.find"
    local older
    for _, candidate in ipairs((find.candidates(place.scout, { name = "double" }))) do
      if candidate.version == "1.9.9" then older = candidate end
    end
    local _, message, code = place.scout:try(older)
    assert.equal("conflict", code)
    assert.match("version 1.9.9 is older than 2.0.0", message, 1, true)
    local other = support.package { version = "2.0.0", description = "Doubles a number, and nothing more" }
    local ok, err = pcall(shelf.register, place.store, { manifest = other, source = source, trial = {}, origin = {}, by = "eve" })
    assert.is_false(ok)
    assert.equal("conflict", err.code)
  end)

  it("checks the signature of those whose keys the project has", function()
    local digest = require "weir.native.digest"
    local private = digest.random(32)
    local key = digest.to_base64(digest.ed25519_public(private))
    local function signed(manifest, by, value)
      manifest.signature = { key = by, value = value or digest.to_base64(digest.ed25519_sign(private, manifest_of.signed_text(manifest))) }
      return manifest
    end
    local function try(manifest, source)
      local own <close> = support.place { folders = { "skills" }, keys = { ada = key }, signed = true }
      support.write(own.folder .. "/skills/double/skill.json", assert(json.encode(manifest)))
      support.write(own.folder .. "/skills/double/double.lua", source)
      return own.scout:try(own:candidate "double a number")
    end
    local manifest, source = support.package()
    assert(try(signed(support.package(), "ada"), source))
    assert.equal("denied", select(3, try(manifest, source)))
    assert.equal("denied", select(3, try(signed(support.package(), "eve"), source)))
    assert.equal("denied", select(3, try(signed(support.package(), "ada", digest.to_base64(("x"):rep(64))), source)))
    assert.equal("denied", select(3, try(signed(support.package(), "ada", "no signature"), source)))
    local changed = signed(support.package(), "ada")
    changed.grants = { clock = true }
    assert.equal("denied", select(3, try(changed, source)))
  end)

  it("is remembered with its cause when it fails, and made again once that is forgotten or the system is another", function()
    place:add { tests = { { name = "three", input = { n = 3 }, output = { double = 7 } } } }
    local message, _, candidate = refused()
    local findings = place.scout:find "double a number"
    assert.equal(0, #findings.candidates)
    assert.equal(message, findings.failed[1].cause)
    assert.is_not_nil(shelf.failure(place.store, candidate.hash, require("weir.skill.policy").environment()))
    assert.is_nil(shelf.failure(place.store, candidate.hash, "another weir"))
    assert.match("failed before: " .. message, select(2, place.scout:try(candidate)), 1, true)
    shelf.refuse(place.store, { hash = candidate.hash, name = "double", cause = message, code = "rejected", seconds = 0,
      environment = require("weir.skill.policy").environment() })
    assert.equal(1, #place.scout:find("double a number").candidates)
  end)

  it("is judged by the critic that the project names", function()
    place:add()
    local seen
    place.project.registry:put { kind = "critic", name = "stern", api = 1, options = { floor = { type = "number", default = 0 } },
      review = function(ctx, draft)
        seen = { floor = ctx.options.floor, input = ctx.input.text, passed = draft.passed, name = draft.manifest.name, has_source = #draft.source > 0 }
        return { verdict = "abort", score = 0, advice = "it is not ours" }
      end }
    place.scout.settings.critic, place.scout.settings.critic_options = "stern", { floor = 0.5 }
    local need = { text = "double a number" }
    local _, message, code = place.scout:try(place:candidate(need), need)
    assert.equal("rejected", code)
    assert.match("it is not ours", message, 1, true)
    assert.same({ floor = 0.5, input = "double a number", passed = 2, name = "double", has_source = true }, seen)
  end)

  it("sends every skill to a person where the project says so", function()
    place:add()
    place.scout.settings.approve = "always"
    assert.match("skills.approve", assert(place.scout:try(place:candidate "double a number")).asks, 1, true)
  end)

  it("is not remembered when it could not be made", function()
    place:add()
    local paths = require "weir.paths"
    local natives, candidate = paths.natives, place:candidate "double a number"
    paths.natives = "/nowhere"
    local _, _, code = place.scout:try(candidate)
    paths.natives = natives
    assert.equal("unavailable", code)
    assert.equal(1, #place.scout:find("double a number").candidates)
  end)

  it("reads every fault of a manifest at once", function()
    local _, message, code = manifest_of.check({ weir_skill = 1, name = "Bad Name", version = "one", description = "x", author = "a",
      source = { file = "x.lua", sha256 = "0" }, grants = { shell = true }, tests = { { name = "nothing" } } }, "skill.json")
    assert.equal("invalid", code)
    for _, field in ipairs { "name", "version", "description", "sha256", "shell" } do assert.match(field, message, 1, true) end
    assert.match("tests%[0%] must have one of output, error and where", select(2, manifest_of.check((support.package { tests = { { name = "nothing" } } }), "x")))
    assert.equal("limit", select(3, manifest_of.parse((" "):rep(100000), "x")))
    assert.equal("invalid", select(3, manifest_of.parse("{", "x")))
  end)
end)
