<?php
// Publishes an update with Symfony's Mercure component, and prints its id.
//
//   apt-get install php-cli php-symfony-mercure        # or: composer require symfony/mercure
//   export SSEKIT_TOKEN=$(ssekit token make --key-file key --publish '*')
//   php examples/hub/publish.php https://example.com/news 'hello, world'
//   php examples/hub/publish.php https://example.com/news 'for some alone' --private
//
// HUB says where the hub is, unless on this machine. Within Symfony the same Hub comes from mercure-bundle:
// MERCURE_URL is the hub's URL, MERCURE_JWT_SECRET the hub's key.

declare(strict_types=1);

use Symfony\Component\Mercure\Exception\RuntimeException;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Update;
use Symfony\Contracts\HttpClient\Exception\HttpExceptionInterface;

require 'Symfony/Component/Mercure/autoload.php'; // Debian's; with Composer: vendor/autoload.php

$token = getenv('SSEKIT_TOKEN');
if ($argc < 3 || !$token) {
    fwrite(STDERR, "usage: SSEKIT_TOKEN=… php {$argv[0]} TOPIC DATA [--private]\n");
    exit(2);
}
$url = getenv('HUB') ?: 'http://127.0.0.1:3000/.well-known/mercure';
$hub = new Hub($url, new StaticTokenProvider($token));
try {
    echo $hub->publish(new Update($argv[1], $argv[2], in_array('--private', $argv, true))), "\n";
} catch (RuntimeException $exception) {
    // The component says that it failed; why, the answer says.
    $cause = $exception->getPrevious();
    $answer = $cause instanceof HttpExceptionInterface ? $cause->getResponse()->getContent(false) : '';
    fwrite(STDERR, ($cause ?? $exception)->getMessage()."\n".$answer."\n");
    exit(1);
}
