--- What manifests of skills promise for any bytes: they are read, or refused with a message and a code; what is read says the same
--- in canonical form, has privileges and words, and a schema for what it gives.

local json = require "weir.json"
local manifest_of = require "weir.skill.manifest"
local names = require "weir.skill.names"

local function must(holds, what) if not holds then error(what, 2) end end

local function check_manifest(bytes)
  local manifest, message, code = manifest_of.parse(bytes, "skill.json")
  if not manifest then
    must(type(message) == "string" and message ~= "" and (code == "invalid" or code == "limit"), "refused without message or code")
    return
  end
  local again = assert(manifest_of.parse(manifest_of.canonical(manifest), "skill.json"))
  must(manifest_of.hash(again) == manifest_of.hash(manifest), "the canonical form has another hash")
  must(json.is_list(manifest_of.privileges(manifest.grants)), "no list of privileges")
  must(type(manifest_of.words(manifest)) == "table", "no words")
  manifest_of.gives(manifest)({ x = 1 })
end

return function(bytes)
  check_manifest(bytes)
  must(#names.find(bytes) <= 20, "more findings than are told")
end
