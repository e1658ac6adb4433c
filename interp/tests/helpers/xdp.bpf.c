// Calls helpers with many arguments and keeps every result; `xdp.linux` is what Linux 6.18 made of it,
// `xdp.packet` what it was called with.
// clang -O1 -g -target bpf -mcpu=v3; bpftool prog run … data_in; bpftool map dump
// SPDX-License-Identifier: MIT OR Apache-2.0
typedef unsigned int u32; typedef unsigned long long u64; typedef unsigned short u16; typedef unsigned char u8; typedef long long s64;
#define SEC(n) __attribute__((section(n),used))
static long (*csum_diff)(void*,u32,void*,u32,u32)=(void*)28;
static long (*strtol_)(const char*,u64,u64,s64*)=(void*)105;
static long (*strtoul_)(const char*,u64,u64,u64*)=(void*)106;
static long (*snprintf_)(char*,u32,const char*,u64*,u32)=(void*)165;
static long (*strncmp_)(const char*,u32,const char*)=(void*)182;
static long (*adj_head)(void*,int)=(void*)44;
static long (*adj_meta)(void*,int)=(void*)54;
static long (*adj_tail)(void*,int)=(void*)65;
static long (*redirect)(u32,u64)=(void*)23;
static long (*loadb)(void*,u32,void*,u32)=(void*)189;
static long (*bufflen)(void*)=(void*)188;
struct xdp_md {u32 data,data_end,data_meta,a,b,c;};
s64 out[64]; char text[16][64];
char a1[16]="\x01\x02\x03\x04\x05\x06\x07\x08\xf9\xfa\xfb\xfc"; char a2[16]="\xff\xee\xdd\xcc\xbb\xaa\x99\x88";
char n1[8]=" -12x"; char n2[8]="0x1F"; char n3[8]="077"; char n4[8]="abc"; char n5[24]="9223372036854775808"; char n6[24]="-9223372036854775808"; char n7[8]="0x"; char n8[8]="08";
u64 seven=7;
int i;
#define O(v) do { out[i++ & 63] = (v); } while(0)
SEC("xdp") int main_(struct xdp_md*ctx){
 s64 r=0; u64 ur=0; u64 arg[4]; int k=0;
 out[0]=csum_diff(0,0,a1,12,0); out[1]=csum_diff(a1,12,0,0,0); out[2]=csum_diff(a1,8,a2,8,0x12345); out[3]=csum_diff(a1,8,a2,4,0xffffffff); out[4]=csum_diff(0,0,0,0,0x12345678); out[5]=csum_diff(a1,4,a2,8,seven);
 out[6]=strtol_(n1,8,0,&r); out[7]=r; out[8]=strtol_(n2,8,0,&r); out[9]=r; out[10]=strtol_(n3,8,0,&r); out[11]=r; out[12]=strtol_(n4,8,0,&r); out[13]=strtol_(n5,24,0,&r); out[14]=strtol_(n6,24,0,&r); out[15]=r;
 out[16]=strtoul_(n5,24,10,&ur); out[17]=ur; out[18]=strtoul_(n1,8,0,&ur); out[19]=strtol_(n7,8,0,&r); out[20]=r; out[21]=strtol_(n8,8,0,&r); out[22]=r; out[23]=strtol_(n4,8,16,&r); out[24]=r; out[25]=strtol_(n2,8,16,&r); out[26]=r; out[27]=strtol_(n1,2,0,&r);
 static const char k1[]="abc"; static const char k2[]="abd"; 
 out[28]=strncmp_(n4,3,k1); out[29]=strncmp_(n4,3,k2); out[30]=strncmp_(n4,8,k1); out[31]=strncmp_(n2,4,k1);
 static const char f0[]="%d %u %x %X %ld %lld %lu %lx"; 
 arg[0]=-5; arg[1]=-5; arg[2]=0xabcdef12345; arg[3]=255; u64 arg8[8]={-5,-5,0xabcdef12345ull,255,-6,-7,-8,0x123456789abull};
 out[32]=snprintf_(text[0],64,f0,arg8,64);
 static const char f1[]="[%5d][%-5d][%05d][%x]"; u64 b1[4]={-42,-42,-42,0xff}; out[33]=snprintf_(text[1],64,f1,b1,32);
 static const char f2[]="%c%%|%px|%i"; u64 b2[3]={'z',0x1234,77}; out[34]=snprintf_(text[2],64,f2,b2,24);
 static const char f3[]="%pI4|%pi4|%s"; u64 b3[3]; b3[0]=(u64)a1; b3[1]=(u64)a1; b3[2]=(u64)n1; out[35]=snprintf_(text[3],64,f3,b3,24);
 static const char f4[]="%pI6"; u64 b4[1]; b4[0]=(u64)a1; out[36]=snprintf_(text[4],64,f4,b4,8);
 static const char f5[]="%pi6"; out[37]=snprintf_(text[5],64,f5,b4,8);
 static const char f6[]="long text that does not fit"; out[38]=snprintf_(text[6],8,f6,0,0);
 static const char f7[]="%10s|"; u64 b7[1]; b7[0]=(u64)n4; out[39]=snprintf_(text[7],64,f7,b7,8);
 static const char f8[]="%08lx|%08x|%u"; u64 b8[3]={0xbeef,0xbeef,70000}; out[40]=snprintf_(text[8],64,f8,b8,24);
 static const char f9[]="%s|%p"; u64 b9[2]={0,0}; out[41]=snprintf_(text[9],64,f9,b9,16);
 static const char fa[]="%pks"; u64 ba[1]; ba[0]=(u64)n2; out[42]=snprintf_(text[10],64,fa,ba,8);
 static const char fb[]="%-8d|%x"; u64 bb[2]={3,255}; out[52]=snprintf_(text[11],64,fb,bb,16);
 static const char fc[]="%-8s|"; u64 bc[1]; bc[0]=(u64)n4; out[53]=snprintf_(text[12],64,fc,bc,8);
 static const char fd[]="%3d %0d"; u64 bd[2]={3,4}; out[54]=snprintf_(text[13],64,fd,bd,16);
 static const char fe[]="%8c|%-4c|%3u"; u64 be[3]={'x','y',1000}; out[55]=snprintf_(text[14],64,fe,be,24);
 out[43]=bufflen(ctx); out[44]=adj_meta(ctx,-8); out[45]=adj_meta(ctx,3); out[46]=adj_head(ctx,-300); out[47]=adj_head(ctx,4); out[48]=adj_tail(ctx,-1000); out[49]=adj_tail(ctx,100); out[50]=bufflen(ctx); out[51]=loadb(ctx,1000,text[15],8);
 out[56]=adj_meta(ctx,-400); out[57]=adj_tail(ctx,3300); out[58]=bufflen(ctx); out[59]=redirect(1,1); out[60]=adj_tail(ctx,3600); out[61]=adj_head(ctx,-200); out[62]=bufflen(ctx); out[63]=adj_head(ctx,-20);
 return redirect(1,0);
}
char _l[] SEC("license")="GPL";
