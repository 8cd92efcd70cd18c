# What an attacker should find in every binary: no fixed address, no writable table of functions, no
# executable stack, guarded stacks, checked copies.
#     cmake -D READELF=readelf -D "FILES=a;b" -P hardening_test.cmake

set(failures "")

function(expect file what text pattern)
  if(NOT text MATCHES "${pattern}")
    set(failures "${failures}\n  ${file}: ${what}" PARENT_SCOPE)
  endif()
endfunction()

if(NOT FILES)
  message(FATAL_ERROR "no binaries were given")
endif()
foreach(file IN LISTS FILES)
  execute_process(COMMAND ${READELF} -W -h -l -d ${file} OUTPUT_VARIABLE layout COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${READELF} -W --dyn-syms ${file} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  expect(${file} "not position independent" "${layout}" "Type:[ ]+DYN")
  expect(${file} "no read-only relocations" "${layout}" "GNU_RELRO")
  expect(${file} "functions are bound late" "${layout}" "BIND_NOW|FLAGS_1[^\n]*NOW")
  expect(${file} "executable stack" "${layout}" "GNU_STACK[ ]+[0-9a-fx]+ [0-9a-fx]+ [0-9a-fx]+ [0-9a-fx]+ [0-9a-fx]+ RW ")
  expect(${file} "no stack protector" "${symbols}" "__stack_chk_fail")
endforeach()
list(GET FILES 0 program)
execute_process(COMMAND ${READELF} -W --dyn-syms ${program} OUTPUT_VARIABLE symbols)
expect(${program} "copies are not checked" "${symbols}" "__[a-z]+_chk@")
if(failures)
  message(FATAL_ERROR "not hardened:${failures}")
endif()
