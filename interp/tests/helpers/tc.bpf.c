// Calls helpers with many arguments and keeps every result; `tc.linux` is what Linux 6.18 made of it,
// `tc.packet` what it was called with.
// clang -O1 -g -target bpf -mcpu=v3; bpftool prog run … data_in; bpftool map dump
// SPDX-License-Identifier: MIT OR Apache-2.0
typedef unsigned int u32; typedef unsigned long long u64; typedef unsigned short u16; typedef unsigned char u8; typedef long long s64;
#define SEC(n) __attribute__((section(n),used))
static long (*store_)(void*,u32,void*,u32,u64)=(void*)9;
static long (*l3)(void*,u32,u64,u64,u64)=(void*)10;
static long (*l4)(void*,u32,u64,u64,u64)=(void*)11;
static long (*redirect)(u32,u64)=(void*)23;
static long (*load_)(void*,u32,void*,u32)=(void*)26;
static long (*hash_)(void*)=(void*)34;
static long (*tail_)(void*,u32,u64)=(void*)38;
static long (*pull)(void*,u32)=(void*)39;
static s64 (*csum_update)(void*,u32)=(void*)40;
static long (*head_)(void*,u32,u64)=(void*)43;
static long (*rel)(void*,u32,void*,u32,u32)=(void*)68;
struct skb {u32 len,pkt_type,mark;};
s64 out[64]; u8 bytes[8][64]; u8 a[8]="\x11\x22\x33\x44\x55\x66\x77\x88";
SEC("tc") int main_(struct skb*ctx){
 out[0]=ctx->len; out[1]=load_(ctx,10,bytes[0],16); out[2]=load_(ctx,90,bytes[1],16); out[3]=load_(ctx,-1,bytes[1],4);
 out[4]=rel(ctx,0,bytes[1],16,0); out[5]=rel(ctx,0,bytes[2],16,1); out[6]=rel(ctx,86,bytes[3],16,1); out[7]=rel(ctx,0,bytes[3],4,2);
 out[8]=store_(ctx,20,a,8,0); out[9]=store_(ctx,96,a,8,0); out[10]=store_(ctx,20,a,8,16); out[11]=store_(ctx,30,a,4,3);
 out[12]=l3(ctx,24,0x1122,0x3344,2); out[13]=l3(ctx,26,0x11223344,0x55667788,4); out[14]=l3(ctx,28,0,0x55667788,0); out[15]=l3(ctx,28,1,2,0); out[16]=l3(ctx,28,1,2,3); out[17]=l3(ctx,29,1,2,2); out[18]=l3(ctx,99,1,2,2); out[19]=l3(ctx,28,1,2,18); out[20]=l3(ctx,70000,1,2,2); out[21]=l3(ctx,98,0x12345678,0x9abcdef0,2);
 out[22]=l4(ctx,40,0x1122,0x3344,2); out[23]=l4(ctx,42,0x11223344,0x55667788,4|0x10); out[24]=l4(ctx,44,0,0x55667788,0|0x20); out[25]=l4(ctx,44,0x12345678,0x5566,2|0x40|0x20); out[26]=l4(ctx,44,1,2,0x100); out[27]=l4(ctx,45,1,2,2); out[28]=l4(ctx,44,1,2,1);
 out[29]=pull(ctx,50); out[30]=pull(ctx,101); out[31]=pull(ctx,0); out[32]=csum_update(ctx,5);
 out[33]=tail_(ctx,60,0); out[34]=ctx->len; out[35]=tail_(ctx,90,0); out[36]=ctx->len; out[37]=tail_(ctx,5,0); out[38]=tail_(ctx,60,1); out[39]=load_(ctx,50,bytes[4],32);
 out[40]=head_(ctx,8,0); out[41]=ctx->len; out[42]=load_(ctx,0,bytes[5],32); out[43]=head_(ctx,8,1); out[44]=redirect(1,2); out[45]=redirect(1,1); out[46]=tail_(ctx,13,0);
 out[49]=load_(ctx,0,bytes[6],1);
 return 0;
}
char _l[] SEC("license")="GPL";
