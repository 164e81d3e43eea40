# A function whose parameter has a type that no compiler makes, which tests/debug_files.rs puts in.
 .text
 .globl victim
 .type victim,@function
victim:
 ret
 .size victim,.-victim
 .globl main
 .type main,@function
main:
 xorl %eax,%eax
 ret
 .size main,.-main
.Lend:
 .section .debug_abbrev,"",@progbits
 .uleb128 1
 .uleb128 0x11
 .byte 1
 .uleb128 0x03
 .uleb128 0x08
 .uleb128 0x11
 .uleb128 0x01
 .uleb128 0x12
 .uleb128 0x07
 .byte 0,0
 .uleb128 2
 .uleb128 0x2e
 .byte 1
 .uleb128 0x3f
 .uleb128 0x19
 .uleb128 0x03
 .uleb128 0x08
 .uleb128 0x11
 .uleb128 0x01
 .uleb128 0x12
 .uleb128 0x07
 .byte 0,0
 .uleb128 3
 .uleb128 0x05
 .byte 0
 .uleb128 0x03
 .uleb128 0x08
 .uleb128 0x49
 .uleb128 0x13
 .byte 0,0
 .uleb128 4
 .uleb128 0x01
 .byte 0
 .uleb128 0x49
 .uleb128 0x13
 .byte 0,0
 .uleb128 5
 .uleb128 0x13
 .byte 1
 .uleb128 0x03
 .uleb128 0x08
 .uleb128 0x0b
 .uleb128 0x0b
 .byte 0,0
 .uleb128 6
 .uleb128 0x0d
 .byte 0
 .uleb128 0x03
 .uleb128 0x08
 .uleb128 0x49
 .uleb128 0x13
 .uleb128 0x38
 .uleb128 0x0b
 .byte 0,0
 .uleb128 7
 .uleb128 0x0f
 .byte 0
 .uleb128 0x49
 .uleb128 0x13
 .byte 0,0
 .uleb128 8
 .uleb128 0x15
 .byte 1
 .uleb128 0x27
 .uleb128 0x19
 .byte 0,0
 .byte 0
 .section .debug_info,"",@progbits
.Linfo:
 .long .Lie-.Lis
.Lis:
 .short 4
 .long 0
 .byte 8
 .uleb128 1
 .string "x.c"
 .quad victim
 .quad .Lend-victim
 .uleb128 2
 .string "victim"
 .quad victim
 .quad main-victim
 .uleb128 3
 .string "x"
 .long .Ltype-.Linfo
 .byte 0
.Ltype:
 @TYPE@
 .byte 0
.Lie:
 .section .note.GNU-stack,"",@progbits
